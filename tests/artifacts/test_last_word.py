"""What a node does while its master is silent: the last word, by whichever way it came."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from artifacts.last_word import EVERY_S, SILENT_S, follow, hear, hear_command, silent_for_s
from artifacts.last_word import Word as Said
from artifacts.layout import Layout
from artifacts.objects import StoreUnreachable, open_objects
from artifacts.orders import Orders, publish, read
from artifacts.supervisor import keep_following
from artifacts.trust import NotTrusted, load_signing_key, new_signing_key, public_key, sign
from tests.foreign.lone_node import LoneNode, lone_node

FLEET = "prod"
NODE_S = 60.0


class Masterless:
    """A lone node that believes its master's orders, and two releases in its registry."""

    def __init__(self, node: LoneNode, key: Path) -> None:
        self.node = node
        self.key = key
        self.public = new_signing_key(key)
        node.configure(orders={"fleet": FLEET, "trust": self.public})
        self.old, self.new = node.publish("1.0.0"), node.publish("1.1.0")
        self.objects = open_objects(f"file://{node.registry}")

    def order(self, release: str, at: float) -> None:
        (self.node.registry / f"orders/{FLEET}.json").unlink(missing_ok=True)
        nodes = {self.node.engine.node: release}
        assert publish(self.objects, Orders(FLEET, at, nodes), self.key)

    def told(self, release: str | None, at: float) -> None:
        self.node.done("hear", at=at, release=release)
        self.silence(SILENT_S + 1)

    def silence(self, seconds: float) -> None:
        """So much time goes by without a word."""
        file = self.node.root / "opt/evctl/told.json"
        then = time.time() - seconds
        os.utime(file, (then, then))

    def follow(self):
        return follow(self.node.node())


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Iterator[Masterless]:
    with lone_node() as node:
        yield Masterless(node, tmp_path_factory.mktemp("keys") / "orders.key")


@pytest.fixture
def masterless(made: Masterless) -> Masterless:
    """It serves the old release, as its master told it at the time 1000."""
    for name in ("told.json", "ordered.json"):
        (made.node.root / "opt/evctl" / name).unlink(missing_ok=True)
    (made.node.registry / f"orders/{FLEET}.json").unlink(missing_ok=True)
    made.node.configure(orders={"fleet": FLEET, "trust": made.public})
    made.node.done("converge", release=made.old)
    made.told(made.old, at=1000.0)
    return made


def test_what_was_missed_is_followed(masterless):
    masterless.order(masterless.new, at=2000.0)
    done = masterless.follow()
    assert done["to"] == masterless.new
    assert masterless.node.answers() == masterless.new
    assert masterless.follow()["unchanged"] is True


def test_while_the_master_is_heard_nothing_is_done(masterless):
    masterless.order(masterless.new, at=2000.0)
    masterless.node.done("hear", at=1500.0, release=masterless.old)
    assert masterless.follow() == {"unchanged": True, "release": None}
    assert masterless.node.answers() == masterless.old
    masterless.silence(SILENT_S + 1)
    assert masterless.follow()["to"] == masterless.new


def test_orders_from_before_the_masters_last_word_say_nothing(masterless):
    """The registry was away while the release was rolled back."""
    masterless.order(masterless.new, at=999.0)
    assert masterless.follow()["unchanged"] is True
    assert masterless.node.answers() == masterless.old


def test_a_command_is_the_last_word_until_orders_come_after_it(masterless):
    masterless.node.done("converge", release=masterless.new)
    masterless.node.done("activate", release=masterless.old)
    masterless.silence(SILENT_S + 1)
    masterless.order(masterless.new, at=1000.0 + SILENT_S)
    assert masterless.follow()["unchanged"] is True
    masterless.order(masterless.new, at=1000.0 + 3 * SILENT_S)
    assert masterless.follow()["to"] == masterless.new


def test_without_orders_the_last_word_over_salt_counts(masterless):
    masterless.told(masterless.new, at=1100.0)
    assert masterless.follow()["to"] == masterless.new
    masterless.node.configure(orders=None)
    masterless.told(masterless.old, at=1200.0)
    assert masterless.follow()["to"] == masterless.old


def test_old_orders_that_someone_puts_back_say_nothing(masterless):
    masterless.order(masterless.old, at=2000.0)
    lying = masterless.node.registry / f"orders/{FLEET}.json"
    kept = lying.read_bytes()
    masterless.order(masterless.new, at=3000.0)
    assert masterless.follow()["to"] == masterless.new
    lying.write_bytes(kept)
    assert masterless.follow()["unchanged"] is True
    assert masterless.node.answers() == masterless.new


def test_orders_of_a_stranger_say_nothing(masterless, tmp_path):
    stranger = tmp_path / "stranger.key"
    new_signing_key(stranger)
    nodes = {masterless.node.engine.node: masterless.new}
    publish(masterless.objects, Orders(FLEET, 9000.0, nodes), stranger)
    assert masterless.follow()["unchanged"] is True
    assert masterless.node.answers() == masterless.old
    (masterless.node.root / "opt/evctl/told.json").unlink()
    with pytest.raises(NotTrusted):
        masterless.follow()


def test_a_key_that_signs_releases_orders_nothing(masterless):
    publish(masterless.objects, Orders(FLEET, 9000.0, {}), masterless.node.key)
    with pytest.raises(NotTrusted):
        read(masterless.objects, FLEET, masterless.public)


def test_a_node_that_is_not_named_goes_on(masterless):
    publish(masterless.objects, Orders(FLEET, 9000.0, {"other": masterless.new}), masterless.key)
    assert masterless.follow()["unchanged"] is True


def test_without_a_registry_the_last_word_over_salt_counts(masterless):
    masterless.node.done("prefetch", release=masterless.new)
    masterless.told(masterless.new, at=1100.0)
    with masterless.node.registry_gone():
        assert masterless.follow()["to"] == masterless.new
        (masterless.node.root / "opt/evctl/told.json").unlink()
        (masterless.node.root / "opt/evctl/ordered.json").unlink(missing_ok=True)
        with pytest.raises(StoreUnreachable):
            masterless.follow()


def test_a_node_that_was_never_told_anything_does_nothing(masterless):
    (masterless.node.root / "opt/evctl/told.json").unlink()
    assert masterless.follow() == {"unchanged": True, "release": None}


def test_damaged_words_are_none(masterless):
    (masterless.node.root / "opt/evctl/told.json").write_text("{")
    masterless.silence(SILENT_S + 1)
    masterless.order(masterless.new, at=1.0)
    assert masterless.follow()["to"] == masterless.new


def test_the_command_that_the_timer_runs(masterless):
    masterless.order(masterless.new, at=2000.0)
    command = (sys.executable, "-m", "artifacts.last_word", "--settings", masterless.node.config)
    done = subprocess.run(command, capture_output=True, timeout=NODE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["to"] == masterless.new
    masterless.node.config.write_text("nonsense")
    done = subprocess.run(command, capture_output=True, timeout=NODE_S, check=False)
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr


def test_where_there_is_no_systemd_the_supervisor_looks_again_and_again(masterless):
    masterless.order(masterless.new, at=2000.0)

    async def until_it_serves() -> None:
        following = asyncio.create_task(keep_following(masterless.node.layout, 0.05))
        while masterless.node.layout.current("web") != masterless.new:
            await asyncio.sleep(0.05)
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following

    asyncio.run(asyncio.wait_for(until_it_serves(), NODE_S))


def test_it_is_within_a_minute():
    assert SILENT_S + EVERY_S <= 60


# Words over Salt


def test_what_comes_last_counts_whatever_the_clocks_say(tmp_path):
    layout = Layout(tmp_path, tmp_path)
    assert silent_for_s(layout, 0.0) == float("inf")
    hear(layout, Said(5000.0, "a"))
    hear(layout, Said(4000.0, "b"))
    kept = json.loads((tmp_path / "opt/evctl/told.json").read_text())
    assert kept == {"at": 4000.0, "release": "b"}
    heard_at = (tmp_path / "opt/evctl/told.json").stat().st_mtime
    hear_command(layout, "c", heard_at + 7.0)
    kept = json.loads((tmp_path / "opt/evctl/told.json").read_text())
    assert kept["at"] == pytest.approx(4007.0, abs=0.1), "the master's clock, gone on by seven"


# Orders


@pytest.fixture
def key(tmp_path: Path) -> Path:
    new_signing_key(tmp_path / "orders.key")
    return tmp_path / "orders.key"


def test_newer_orders_replace_older_ones_and_the_same_are_left(tmp_path, key):
    objects, public = open_objects(f"file://{tmp_path}"), public_key(load_signing_key(key))
    one, two = {"a": "1.0.0-000000000000"}, {"a": "1.1.0-000000000000"}
    assert read(objects, FLEET, public) is None
    assert publish(objects, Orders(FLEET, 10.0, one), key)
    assert not publish(objects, Orders(FLEET, 20.0, one), key), "the same"
    assert not publish(objects, Orders(FLEET, 9.0, two), key), "older"
    assert publish(objects, Orders(FLEET, 30.0, two), key)
    assert read(objects, FLEET, public) == Orders(FLEET, 30.0, two)


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"{}", b'{"fleet": "prod", "at": 1, "nodes": []}',
     b'{"fleet": "prod", "at": 1, "nodes": {"a": "../../etc"}}',
     b'{"fleet": "prod", "at": 1, "nodes": {"a": 3}}',
     b'{"fleet": "other", "at": 1, "nodes": {}}'],
)  # fmt: skip
def test_what_is_signed_and_still_no_order(tmp_path, key, payload):
    objects, private = open_objects(f"file://{tmp_path}"), load_signing_key(key)
    objects.put(f"orders/{FLEET}.json", sign("orders", payload, private, "orders"))
    with pytest.raises(NotTrusted):
        read(objects, FLEET, public_key(private))


def test_a_release_that_someone_signed_is_no_order(tmp_path, key):
    objects, private = open_objects(f"file://{tmp_path}"), load_signing_key(key)
    body = b'{"fleet": "prod", "at": 1, "nodes": {}}'
    objects.put(f"orders/{FLEET}.json", sign("manifest", body, private, "orders"))
    with pytest.raises(NotTrusted):
        read(objects, FLEET, public_key(private))
