"""Which fleet is found, and what a wrong fleet.yaml gets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from artifacts.errors import EvctlError
from cli import fleet as fleets
from cli.fleet import Fleet, FleetError, find_fleet
from tests.cli.conftest import WITHOUT_RIGHTS, run_evctl

ROLE = {"command": ["python"], "listen": 80, "ready_s": 1, "drain_s": 1,
        "schemas": {"reads": {}, "writes": {}}}  # fmt: skip


def _app(folder: Path, fleet: str | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evctl.yaml").write_text(
        yaml.safe_dump(
            {"app": "a", "version": "1", "python": "3.11", "requirements": None, "include": ["**"],
             "exclude": [], "fleet": fleet, "roles": {"web": ROLE}}
        )
    )  # fmt: skip


@pytest.fixture
def places(tmp_path, monkeypatch) -> Path:
    """A fleet in each place where one is looked for."""
    monkeypatch.setenv(fleets.ENVIRONMENT, str(tmp_path / "environment.yaml"))
    monkeypatch.setattr(fleets, "SYSTEM_WIDE", tmp_path / "system.yaml")
    (tmp_path / "system.yaml").write_text("{}")
    _app(tmp_path / "app", "deploy/fleet.yaml")
    (tmp_path / "app" / "deep" / "down").mkdir(parents=True)
    return tmp_path


def test_the_order_in_which_a_fleet_is_found(places, monkeypatch):
    here = places / "app" / "deep" / "down"
    assert find_fleet(Path("given.yaml"), here) == Path("given.yaml")
    assert find_fleet(None, here) == places / "environment.yaml"
    monkeypatch.delenv(fleets.ENVIRONMENT)
    assert find_fleet(None, here) == places / "app" / "deploy" / "fleet.yaml"
    _app(places / "app", None)
    assert find_fleet(None, here) == places / "system.yaml"
    (places / "system.yaml").unlink()
    with pytest.raises(FleetError) as caught:
        find_fleet(None, here)
    assert "EVCTL_FLEET" in caught.value.why
    assert caught.value.exit_code == 2


def test_an_empty_environment_is_none(places, monkeypatch):
    monkeypatch.setenv(fleets.ENVIRONMENT, "")
    assert find_fleet(None, places) == places / "system.yaml"


def test_paths_are_relative_to_the_file(world):
    config = Fleet.load(world.fleet).config
    assert config.salt_master_config == world.root / "master"
    assert config.nodes == world.root / "nodes.yaml"
    assert config.signing_key == world.root / "signing.key"
    assert config.cache == world.root / "cache"
    assert config.network_namespace is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": None}, "`name`"),
        ({"name": 3}, "`name`"),
        ({"name": ""}, "`name`"),
        ({"salt_master_config": None}, "`salt_master_config`"),
        ({"registry": None}, "`registry`"),
        ({"registry": ["x"]}, "`registry`"),
        ({"documents": None}, "`documents`"),
        ({"nodes": None}, "`nodes`"),
        ({"nodes": {"web-01": {}}}, "`nodes`"),
        ({"trust": None}, "`trust`"),
        ({"trust": {}}, "`trust`"),
        ({"trust": "k1"}, "`trust`"),
        ({"trust": {"k1": 3}}, "`trust`"),
        ({"trust": {1: "x"}}, "`trust`"),
        ({"trust": {"k1": "abc"}}, "`trust`"),
        ({"trust": {"k1": "AAAA"}}, "`trust`"),
        ({"signing_key": 3}, "`signing_key`"),
        ({"signing_key": ["x"]}, "`signing_key`"),
        ({"cache": {"a": 1}}, "`cache`"),
        ({"network_namespace": 3}, "`network_namespace`"),
        ({"regsitry": "file:///x"}, "`regsitry`"),
        ({"zzz": 1}, "`zzz`"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(world, changes, named):
    world.set(**changes)
    with pytest.raises(FleetError) as caught:
        Fleet.load(world.fleet)
    assert str(world.fleet) in caught.value.what
    assert named in caught.value.what
    assert caught.value.next_step


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"a: [", b"\xff\xfe", b"3", b"1: x", b"a: \x00", b"!!python/object:x {}"]
)
def test_what_is_no_mapping_is_refused(world, body):
    world.fleet.write_bytes(body)
    with pytest.raises(FleetError, match=r"fleet\.yaml"):
        Fleet.load(world.fleet)


def test_files_that_may_not_be_read(world):
    for path in (world.fleet, world.root / "nodes.yaml"):
        path.chmod(0)
        ran = run_evctl(
            "--fleet", world.fleet, "range", "all", cwd=world.app, before=WITHOUT_RIGHTS
        )
        assert ran.code == 4
        assert ran.err.splitlines() == [
            f"E5202 can't read {path}",
            "  why: Permission denied",
            "  next: run evctl as root, or as the master's user",
        ]
        path.chmod(0o600)


def test_a_map_of_nodes_that_is_not_there_is_no_fleet_to_be_made(world):
    (world.root / "nodes.yaml").unlink()
    with pytest.raises(FleetError) as caught:
        Fleet.load(world.fleet).nodes()
    assert caught.value.next_step == f"write it, or mend `nodes` in {world.fleet}"


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(FleetError, match="can't read"):
            Fleet.load(path)


@pytest.mark.parametrize("key", ["registry", "documents"])
@pytest.mark.parametrize("url", ["ftp://x/y", "file://relative", "nothing", "s3://", "://"])
def test_a_store_that_is_none(world, key, url):
    world.set(**{key: url})
    with pytest.raises(EvctlError) as caught:
        getattr(Fleet.load(world.fleet), key)()
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "nodes",
    ["all: {role: web}",
     "web-01: web", "web-01: {roel: web}", "web-01: [web]", "[web-01]", "1: {role: web}", "a: [",
     "web-01: {role: 3}", "web-01: {role: web, az: [a]}", "'web 01': {role: web}", "'a,b': {}",
     "'': {role: web}", "'web[1]': {role: web}", "'@web': {role: web}",
     "web-01: {groups: gold}", "web-01: {groups: [3]}", "web-01: {groups: ['a b']}",
     "{web-01: {role: web}, db-01: {role: db, groups: [web]}}"],
)  # fmt: skip
def test_a_map_of_nodes_that_is_not_understood(world, nodes):
    (world.root / "nodes.yaml").write_text(nodes)
    with pytest.raises(FleetError, match=r"nodes\.yaml"):
        Fleet.load(world.fleet).nodes()


def test_the_map_of_nodes(world):
    nodes = Fleet.load(world.fleet).nodes()
    assert nodes["web-01"].az == "a"
    assert nodes["web-02"].az is None
    assert (nodes["web-01"].channel, nodes["web-01"].groups) == ("stable", ())
    (world.root / "nodes.yaml").write_text("{web-01: {channel: canary, groups: [gold, eu]}}")
    found = Fleet.load(world.fleet).nodes()["web-01"]
    assert (found.channel, found.groups) == ("canary", ("gold", "eu"))
    (world.root / "nodes.yaml").write_text("{spare-01: {}}")
    assert Fleet.load(world.fleet).nodes()["spare-01"].role is None


def test_without_a_signing_key(world):
    world.set(signing_key=None)
    with pytest.raises(FleetError, match="signing_key") as caught:
        Fleet.load(world.fleet).signing_key()
    assert "evctl key new" in caught.value.next_step
