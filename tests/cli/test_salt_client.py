"""SaltClient against a real Salt master and a real minion on 127.0.0.1."""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cli import salt_client
from cli.salt_client import (
    SILENT,
    MasterRefused,
    MasterUnreachable,
    Return,
    SaltClient,
    unreachable,
)

READY_S = 30
ANSWER_S = 20.0


@dataclass
class RealSalt:
    root: Path
    short: Path  # unix sockets' paths are bounded: 107 bytes
    settings: dict[str, object]
    master: subprocess.Popen[bytes]

    @property
    def client(self) -> SaltClient:
        return SaltClient(self.root / "master", network=None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _settings(root: Path, short: Path) -> dict[str, object]:
    return {
        "interface": "127.0.0.1",
        "publish_port": _free_port(),
        "ret_port": _free_port(),
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "root_dir": "/",
        "pki_dir": str(root / "pki"),
        "cachedir": str(root / "cache"),
        "sock_dir": str(short),
        "log_file": str(root / "log"),
        "pidfile": str(root / "pid"),
        "extension_modules": str(root / "extmods"),
        "worker_threads": 3,
        "timeout": 3,
        "gather_job_timeout": 2,
        "auto_accept": True,
        "ping_on_rotate": False,
        "enable_fqdns_grains": False,
    }


def _start(program: str, folder: Path, settings: dict[str, object]) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    Path(str(settings["sock_dir"])).mkdir(parents=True, exist_ok=True)
    (folder / program.removeprefix("salt-")).write_text(yaml.safe_dump(settings))
    with (folder / "out").open("wb") as out:
        return subprocess.Popen(
            [Path(sys.executable).with_name(program), "-c", folder],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """With all its children: they are of its session."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


@pytest.fixture(scope="module")
def salt_on_loopback() -> Iterator[RealSalt]:
    root, short = Path(tempfile.mkdtemp(prefix="evctl-salt-")), Path(tempfile.mkdtemp(prefix="s-"))
    settings = _settings(root, short / "m")
    master = _start("salt-master", root / "master", settings)
    minion = _start(
        "salt-minion",
        root / "minion",
        {
            **settings,
            "id": "web-01",
            "master": "127.0.0.1",
            "master_port": settings["ret_port"],
            "pki_dir": str(root / "minion-pki"),
            "cachedir": str(root / "minion-cache"),
            "sock_dir": str(short / "n"),
            "log_file": str(root / "minion-log"),
            "pidfile": str(root / "minion-pid"),
            "extension_modules": str(root / "minion-extmods"),
            "acceptance_wait_time": 1,
            "random_reauth_delay": 1,
            "enable_gpu_grains": False,
            "mine_enabled": False,
        },
    )
    found = RealSalt(root, short, settings, master)
    try:
        _wait_for_answers(found)
        yield found
    finally:
        _stop(minion)
        _stop(master)
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(short, ignore_errors=True)


@pytest.fixture(autouse=True)
def soon_silent(monkeypatch):
    """Nodes on this machine say quickly that they are at work."""
    monkeypatch.setattr(salt_client, "ALIVE_S", 2)


def _wait_for_answers(found: RealSalt) -> None:
    deadline = time.monotonic() + READY_S
    said: object = "nothing"
    while time.monotonic() < deadline:
        try:
            said = list(found.client.call(["web-01"], "test.ping", {}, 5))
        except MasterUnreachable as error:
            said = error
            continue
        if [answer.error for answer in said] != [SILENT]:
            return
    raise AssertionError(f"no minion after {READY_S} s: {said}")


def _called(found: RealSalt, nodes: list[str], function: str, **kwargs) -> dict[str, object]:
    answers = list(found.client.call(nodes, function, kwargs, ANSWER_S))
    assert sorted(answer.node for answer in answers) == sorted(nodes), "each exactly once"
    return {answer.node: answer for answer in answers}


def test_a_node_answers_with_its_data(salt_on_loopback):
    answer = _called(salt_on_loopback, ["web-01"], "test.kwarg", release="1.0", pinned=["a"])
    assert answer["web-01"].error is None
    assert answer["web-01"].data["release"] == "1.0"
    assert answer["web-01"].data["pinned"] == ["a"]


def test_unknown_nodes_are_silent_and_do_not_hold_up_the_others(salt_on_loopback):
    order = [
        (answer.node, answer.error, time.monotonic())
        for began in [time.monotonic()]
        for answer in salt_on_loopback.client.call(
            ["gone-01", "gone-02", "web-01"], "test.kwarg", {}, ANSWER_S
        )
    ]
    assert [(node, error) for node, error, _ in order] == [
        ("web-01", None),
        ("gone-01", SILENT),
        ("gone-02", SILENT),
    ]


def test_only_unknown_nodes(salt_on_loopback):
    answers = _called(salt_on_loopback, ["gone-01"], "test.kwarg")
    assert answers["gone-01"].silent


def test_no_nodes_are_asked_nothing(salt_on_loopback):
    assert list(salt_on_loopback.client.call([], "test.kwarg", {}, 1)) == []


def test_a_function_that_is_not_there_is_an_error_of_the_node(salt_on_loopback):
    answer = _called(salt_on_loopback, ["web-01"], "evrelease.status")["web-01"]
    assert not answer.silent
    assert "evrelease.status" in answer.error
    assert "not available" in answer.error


def test_an_exception_on_the_node_is_its_error(salt_on_loopback):
    answer = _called(salt_on_loopback, ["web-01"], "test.exception", message="no space")["web-01"]
    assert not answer.silent
    assert "no space" in answer.error


def test_arguments_that_do_not_fit_are_an_error_of_the_node(salt_on_loopback):
    answer = _called(salt_on_loopback, ["web-01"], "test.sleep", wrong=1)["web-01"]
    assert not answer.silent
    assert answer.error


def test_a_long_job_is_waited_for(salt_on_loopback):
    """Longer than the time in which a node must say that it is at work."""
    answers = _called(salt_on_loopback, ["web-01", "gone-01"], "test.sleep", length=5)
    assert answers["gone-01"].silent
    assert answers["web-01"].error != SILENT


def test_a_job_that_takes_too_long_is_silence(salt_on_loopback):
    """Were it waited for, this test's own time would be over first."""
    client = salt_on_loopback.client
    (answer,) = client.call(["web-01"], "test.sleep", {"length": 600}, 1)
    assert answer.silent


def test_an_interrupt_is_heard_whatever_salt_is_at(salt_on_loopback):
    """Salt itself swallows some, and the answers that it was reading with them."""
    client = salt_on_loopback.client
    assert [r.error for r in client.call(["web-01"], "test.kwarg", {}, ANSWER_S)] == [None]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for after_s in (0.2, 0.23, 0.26, 0.29, 0.32, 0.35):
            interrupt = threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGINT))
            interrupt.start()
            with pytest.raises(KeyboardInterrupt):
                list(client.call(["web-01"], "test.sleep", {"length": 3}, ANSWER_S))
            interrupt.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert [r.error for r in client.call(["web-01"], "test.kwarg", {}, ANSWER_S)] == [None]


def test_a_dead_node_is_silent(salt_on_loopback):
    """It has a key and was here before: its keys are all that is left of it."""
    accepted = salt_on_loopback.root / "pki" / "minions"
    shutil.copy(accepted / "web-01", accepted / "dead-01")
    answers = _called(salt_on_loopback, ["dead-01", "web-01"], "test.kwarg")
    assert answers["dead-01"].silent
    assert answers["web-01"].error is None


def test_who_is_not_needed_is_not_waited_for_once_the_others_have_long_answered(
    monkeypatch, tmp_path
):
    def answers(*_):
        yield Return("web-01", data={"ok": True})
        yield from itertools.repeat(None)

    monkeypatch.setattr(SaltClient, "_answers", answers)
    monkeypatch.setattr(salt_client, "LATE_S", 0.0)
    monkeypatch.setattr(salt_client, "LATE_TIMES", 1.0)
    nodes = ["gone-01", "web-01"]
    found = SaltClient(tmp_path, network=None).call(nodes, "test.ping", {}, ANSWER_S, spare=1)
    assert [(one.node, one.silent) for one in found] == [("web-01", False), ("gone-01", True)]


@pytest.mark.parametrize(
    ("waited_s", "slowest_s", "late"),
    [(60.0, None, False), (1.9, 0.1, False), (2.1, 0.1, True), (3.9, 2.0, False), (4.1, 2.0, True)],
)
def test_who_is_late(waited_s, slowest_s, late):
    assert salt_client.is_late(waited_s, slowest_s) is late


def test_no_settings_of_a_master(tmp_path):
    with pytest.raises(MasterUnreachable, match="doesn't answer") as caught:
        list(SaltClient(tmp_path, None).call(["web-01"], "test.ping", {}, 5))
    assert str(tmp_path) in caught.value.why
    assert caught.value.exit_code == 7


def _client_of(folder: Path, settings: dict[str, object]) -> SaltClient:
    folder.mkdir()
    (folder / "master").write_text(yaml.safe_dump(settings))
    return SaltClient(folder, None)


@pytest.mark.timeout(30)
def test_a_master_that_is_not_running(salt_on_loopback, tmp_path):
    pki = tmp_path / "pki"
    shutil.copytree(salt_on_loopback.root / "pki", pki)
    cache = tmp_path / "cache"
    cache.mkdir()
    for key in (salt_on_loopback.root / "cache").glob(".*_key"):
        shutil.copy(key, cache)
    settings = {
        **salt_on_loopback.settings,
        **_settings(tmp_path, salt_on_loopback.short / "x"),
    }
    with pytest.raises(MasterUnreachable) as caught:
        list(_client_of(tmp_path / "etc", settings).call(["web-01"], "test.ping", {}, 5))
    assert "\n" not in caught.value.why
    assert "evctl lab up" in caught.value.next_step


def test_a_user_without_the_masters_key_is_refused(salt_on_loopback, tmp_path):
    settings = {**salt_on_loopback.settings, "cachedir": str(tmp_path / "cache")}
    (tmp_path / "cache").mkdir()
    with pytest.raises(MasterRefused) as caught:
        list(_client_of(tmp_path / "etc", settings).call(["web-01"], "test.ping", {}, 5))
    assert caught.value.exit_code == 4


def test_a_master_that_hangs(salt_on_loopback):
    master = salt_on_loopback.master.pid
    os.killpg(master, signal.SIGSTOP)
    try:
        with pytest.raises(MasterUnreachable):
            list(salt_on_loopback.client.call(["web-01"], "test.ping", {}, 5))
    finally:
        os.killpg(master, signal.SIGCONT)


def test_of_salt_only_what_a_client_needs_is_imported():
    """The master, its file servers and gitfs take longer than asking a node does."""
    script = (
        "import sys\n"
        "from cli.salt_client import _import_transport\n"
        "_import_transport()\n"
        "import salt.client, salt.transport.tcp\n"
        "assert salt.transport.tcp.PublishClient\n"
        "assert not sys.modules.keys() & {'salt.master', 'salt.fileserver', 'git', 'requests'}\n"
        "import salt.master\n"
        "assert salt.master.Master, 'whoever wants the real one gets it'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_salts_transport_uses_nothing_of_the_master():
    source = Path(importlib.util.find_spec("salt.transport.tcp").origin).read_text()
    assert source.count("salt.master") == source.count("import salt.master") == 1


def test_more_nodes_than_may_be_asked_at_once_are_asked_in_turns(monkeypatch, tmp_path):
    turns = []

    def answers(_self, nodes, *_):
        turns.append(len(nodes))
        yield Return(nodes[0], data={"ok": True})

    monkeypatch.setattr(SaltClient, "_answers", answers)
    nodes = [f"web-{number:05}" for number in range(salt_client.AT_ONCE_MAX + 3)]
    found = list(SaltClient(tmp_path, network=None).call(nodes, "test.ping", {}, ANSWER_S))
    assert turns == [salt_client.AT_ONCE_MAX, 3]
    assert sorted(one.node for one in found) == nodes
    assert sum(one.silent for one in found) == len(nodes) - 2


def test_why_a_master_does_not_answer_is_told_without_the_options_of_salts_own_command():
    error = unreachable("Salt request timed out. You may need to run your command with `--async`.")
    assert error.why == "Salt request timed out."
