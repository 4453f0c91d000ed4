"""The command itself, in a process of its own: help, errors, streams, exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import click
import pytest

from cli.main import COMMANDS
from tests.cli.conftest import EVCTL, REPOSITORY, every_command, run_evctl

EVERY = dict(every_command())
HEAVY = {"salt", "boto3", "botocore", "cryptography", "ClusterShell"}


def test_help_begins_with_examples_and_names_every_command(tmp_path):
    ran = run_evctl("--help", cwd=tmp_path)
    assert ran.code == 0
    assert ran.out.index("Examples:") < ran.out.index("Options:") < ran.out.index("Commands:")
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", ran.out, re.M), name


@pytest.mark.parametrize(
    "arguments", [["--help"], [], *([name, "--help"] for name in COMMANDS)], ids=" ".join
)
def test_what_is_asked_most_imports_nothing_heavy(tmp_path, arguments):
    """Their import alone takes longer than the 0.3 s that a `--help` may take."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", EVCTL, *arguments],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in ended.stderr.splitlines()}
    assert "click" in imported
    assert not imported & (HEAVY if arguments == ["--help"] else HEAVY - {"cryptography"})


# What this repository's own app offers: known where its evctl.yaml is; what it prints is its own.
TOOLS = {"evctl events"}


@pytest.mark.parametrize("path", EVERY)
def test_every_command_has_help_with_examples_of_its_own(tmp_path, path):
    ran = run_evctl(*path.split()[1:], "--help", cwd=REPOSITORY if path in TOOLS else tmp_path)
    assert ran.code == 0
    assert re.search(rf"Examples?:\n +{path}( |\n)", ran.out)
    assert ran.out.index("Example") < ran.out.index("Options:")


# A shell prints what is run in it.
WITHOUT_JSON = {"evctl lab shell", *TOOLS}


@pytest.mark.parametrize(
    "path", [path for path, command in EVERY.items() if not isinstance(command, click.Group)]
)
def test_every_command_that_prints_has_json(path):
    has = any("--json" in parameter.opts for parameter in EVERY[path].params)
    assert has is (path not in WITHOUT_JSON)


@pytest.mark.parametrize("path", sorted(EVERY))
def test_help_fits_a_terminal_of_eighty_columns(path):
    """All but commands to copy, and the choices of one option."""
    context = click.Context(EVERY[path], info_name=path, terminal_width=80)
    long = [line for line in EVERY[path].get_help(context).splitlines() if len(line) > 80]
    assert [line for line in long if not re.fullmatch(r" +(evctl( \S+)+|--instance.*)", line)] == []


def test_bare_without_a_fleet_says_what_to_do(tmp_path):
    ran = run_evctl(cwd=tmp_path)
    assert ran.code == 0
    assert "no fleet" in ran.out
    assert "next: evctl lab up" in ran.out


def test_bare_with_a_fleet_says_how_it_is(world):
    ran = world.evctl()
    assert ran.code == 0
    assert "fleet test · 3 nodes" in ran.out
    assert "0 releases" in ran.out
    assert "next: evctl release" in ran.out
    world.release()
    assert "1 release\n" in world.evctl().out


@pytest.mark.parametrize(
    "arguments",
    [["rolout"], ["--nope"], ["rollout"], ["rollout", "--range"], ["release", "x"], ["lab", "x"],
     ["rollout", "--range", "a", "--to", "b", "--bake", "x"], ["explain", "E9999"], ["key", "new"]],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2_and_says_why(tmp_path, arguments):
    ran = run_evctl(*arguments, cwd=tmp_path)
    assert ran.code == 2
    assert "Error: " in ran.err
    assert not ran.out


def test_a_misspelt_command_is_told_the_nearest(tmp_path):
    assert "rollout" in run_evctl("rolout", cwd=tmp_path).err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lab", "uo"), "No such command 'uo'. evctl lab has down, follow, kill, shell"),
        (("events", "ledger"), "No such command 'events'. `evctl --help` lists all"),
    ],
)
def test_where_nothing_is_near_it_says_what_there_is(tmp_path, words, said):
    assert said in run_evctl(*words, cwd=tmp_path).err


def test_a_script_is_told_the_help_of_the_command_that_it_got_wrong(tmp_path):
    ran = run_evctl("rollout", "--range", "all", "--json", cwd=tmp_path)
    assert json.loads(ran.out)["error"]["next"] == "evctl rollout --help"


def _with_own_fault(
    tmp_path, *arguments: str, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    broken = (
        "import sys, cli.main, cli.output\n"
        "def fail(*_): raise RuntimeError('the sky\\nfell')\n"
        "cli.output.Output.load_fleet = fail\n"
        "sys.exit(cli.main.run(sys.argv[1:]))\n"
    )
    return _python(tmp_path, broken, *arguments, before=before)


def _python(
    tmp_path, code: str, *arguments: str, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_our_own_fault_is_a_few_lines_and_a_log(tmp_path):
    ended = _with_own_fault(tmp_path, "releases")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[:2] == [
        "E0001 evctl itself failed",
        "  why: the sky fell",
    ]
    (log,) = tmp_path.glob("evctl-*.log")
    assert str(log) in ended.stderr
    assert "RuntimeError: the sky" in log.read_text()
    assert not ended.stdout


def test_a_threads_own_fault_is_told_like_any_other(tmp_path):
    ended = _python(
        tmp_path,
        "import sys, threading, cli.main, cli.output\n"
        "def fail(): raise RuntimeError('the sky fell')\n"
        "def load(*_):\n"
        "    thread = threading.Thread(target=fail)\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "    sys.exit()\n"
        "cli.output.Output.load_fleet = load\n"
        "cli.main.main()\n",
        "releases",
    )
    assert ended.stderr.startswith("E0001 evctl itself failed\n  why: the sky fell\n")
    assert "Traceback" not in ended.stderr


def test_our_own_fault_as_json(tmp_path):
    ended = _with_own_fault(tmp_path, "releases", "--json")
    assert json.loads(ended.stdout)["error"]["code"] == "E0001"


def test_an_error_is_also_json_on_stdout(tmp_path):
    ran = run_evctl("--fleet", "none.yaml", "releases", "--json", cwd=tmp_path)
    assert ran.code == 2
    error = ran.json()["error"]
    assert error["code"] == "E5201"
    assert error["exit"] == "2"
    assert set(error) == {"code", "what", "why", "next", "where", "exit"}
    assert ran.err.startswith("E5201 ")


@pytest.mark.parametrize(
    "arguments", [["rollout", "--json"], ["explain", "E9999", "--json"], ["nope", "--json"]]
)
def test_wrong_usage_is_json_too(tmp_path, arguments):
    ran = run_evctl(*arguments, cwd=tmp_path)
    assert ran.code == 2
    assert ran.json()["error"]["exit"] == "2"


def _on_a_terminal(world, *arguments: str, env: dict[str, str] | None = None) -> str:
    """What the command prints on stdout when that is a terminal."""
    ours, theirs = pty.openpty()
    try:
        ran = run_evctl("--fleet", world.fleet, *arguments, cwd=world.app, env=env, stdout=theirs)
        assert ran.code == 0, ran.err
        return os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_colour_only_on_a_terminal_and_only_if_wanted(world):
    escape = "\x1b["
    assert escape in _on_a_terminal(world, "release")
    assert escape not in _on_a_terminal(world, "release", env={"NO_COLOR": "1"})
    assert escape not in _on_a_terminal(world, "--no-color", "release")
    assert escape not in world.evctl("release").out


def test_quiet_means_no_progress(world):
    loud = world.evctl("release")
    assert loud.err
    quiet = world.evctl("-q", "release")
    assert not quiet.err
    assert quiet.out


def test_a_reader_that_has_gone_is_no_fault(tmp_path):
    """`evctl explain | head -1`: standard output is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = run_evctl("explain", cwd=tmp_path, stdout=writing)
    finally:
        os.close(writing)
    assert ran.code == 0
    assert not ran.err


@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_fault(world, closed):
    """As some start what runs by itself."""
    shell = ("sh", "-c", f'exec "$@" {closed}', "sh")
    where = ("--fleet", world.fleet, "lock", "--range", "web-01", "--reason", "disks")
    assert run_evctl(*where, cwd=world.app, before=shell).code == 0
    assert "disks" in world.evctl("history").out


def test_what_an_encoding_has_not_is_a_number(world):
    world.evctl("lock", "--range", "web-01", "--reason", "disks")
    where = ("--fleet", world.fleet, "history", "verify")
    ran = run_evctl(*where, cwd=world.app, env={"PYTHONIOENCODING": "latin-1"})
    assert ran.code == 0
    assert ran.out.startswith(r"\u2714 1 entry, whole")


def test_bytes_that_are_no_text_are_no_fault(world):
    ran = world.evctl("range", os.fsdecode(b"web-\xff"))
    assert ran.code == 2
    assert ran.err.startswith("E5401 ")


def test_in_a_folder_that_is_gone(tmp_path):
    shell = ("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh")
    for arguments in (["--help"], ["rollouts"]):
        ran = run_evctl(*arguments, cwd=tmp_path, before=shell)
        assert ran.code == 2
        assert ran.err == "E5002 the folder that you are in is gone\n  next: cd to another\n"


def test_a_full_disk(world):
    """No file may grow: neither the documents' nor, where a release is packed, a temporary one."""
    where = ("--fleet", world.fleet)
    full = ("prlimit", "--fsize=0")
    locked = run_evctl(*where, "lock", "--range", "web-01", "--reason", "x", cwd=world.app,
                       before=full)  # fmt: skip
    assert locked.code == 7
    assert locked.err.startswith("E2003 ")
    released = run_evctl(*where, "-q", "release", cwd=world.app, before=full)
    assert released.code == 6
    assert released.err.startswith("E5003 no room on this machine\n")
    assert not (world.root / "documents/holds.json").exists()


@pytest.mark.parametrize("arguments", [["explain", "E2003"], ["explain", "E2003", "--json"]])
def test_data_that_a_full_disk_has_cut_off_is_no_success(tmp_path, arguments):
    shell = ("sh", "-c", 'exec "$@" > /dev/full', "sh")
    ran = run_evctl(*arguments, cwd=tmp_path, before=shell)
    assert ran.code == 6
    assert ran.err.startswith("E5003 no room on this machine\n")


def test_our_own_fault_where_no_log_can_be_written(tmp_path):
    ended = _with_own_fault(tmp_path, "releases", before=("prlimit", "--fsize=0"))
    assert ended.returncode == 1
    assert ended.stderr.startswith("E0001 evctl itself failed\n  why: the sky fell\n")
    assert "no log could be written" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_version(tmp_path):
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", run_evctl("--version", cwd=tmp_path).out)
