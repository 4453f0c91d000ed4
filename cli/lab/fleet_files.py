"""The keys, maps and pillar that make a lab a fleet like any other."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import yaml

from artifacts.trust import new_signing_key
from cli.lab.engines import start as engines
from cli.lab.spec import REPOSITORY, SERVICE_UID, SERVICE_USER, Lab

KEY_NAME = "lab"
WHEELS = REPOSITORY / "build/cache/wheels"
STORE_ROLES = ("collector", "processor", "postprocessor", "autoscaler")
OWN_PILLAR = "own"  # a file that whoever has the lab may put beside fleet.sls
THIS_NODE = "{{ grains.id }}"  # Salt fills it in: pillar files are templates


def write(lab: Lab) -> None:
    """fleet.yaml, nodes.yaml, the signing key and the lab's own pillar; the same when run again."""
    for folder in (lab.registry, lab.documents, lab.data, lab.root / "pillar", lab.root / "cache"):
        folder.mkdir(parents=True, exist_ok=True)
    wheels = lab.root / "cache" / "wheels"
    if not wheels.is_symlink():  # fetched once for all labs
        WHEELS.mkdir(parents=True, exist_ok=True)
        wheels.symlink_to(WHEELS)
    if lab.driver == "nspawn":
        os.chown(lab.data, SERVICE_UID, SERVICE_UID)
    _write(lab.fleet_file, _fleet(lab))
    _write(lab.store_settings, _store(lab))
    _write(lab.nodes_file, {n.id: {"role": n.role, "address": n.address} for n in lab.nodes})
    own = {"include": [OWN_PILLAR]} if (lab.root / "pillar" / f"{OWN_PILLAR}.sls").exists() else {}
    pillar = yaml.safe_dump({**own, "evctl": _pillar(lab)})
    (lab.root / "pillar" / "fleet.sls").write_text(pillar)


def _fleet(lab: Lab) -> dict[str, object]:
    key, orders_key = lab.root / "signing.key", lab.root / "orders.key"
    if not orders_key.exists():
        new_signing_key(orders_key)
    known = yaml.safe_load(lab.fleet_file.read_text()) if lab.fleet_file.exists() else {}
    trust = known.get("trust") if key.exists() else None
    return {
        "name": lab.name,
        "salt_master_config": str(lab.master_root / "etc"),
        "registry": lab.registry.as_uri(),
        "documents": lab.documents.as_uri(),
        "nodes": str(lab.nodes_file),
        "trust": trust or {KEY_NAME: new_signing_key(key)},
        "signing_key": str(key),
        "orders_key": str(orders_key),
        "cache": str(lab.root / "cache"),
        "network_namespace": lab.network if lab.driver == "nspawn" else None,
    }


def _pillar(lab: Lab) -> dict[str, object]:
    """Where a node of this lab finds what it shares, and where it keeps its own."""
    settings: dict[str, dict[str, str]] = {}
    data = "file:///srv/eventstore"
    known: dict[str, object] = {
        "services": "systemd",
        "root": "/",
        "run": "/run/evctl",
        "user": SERVICE_USER,
        "uid": SERVICE_UID,
        "registry": "file:///srv/evctl/registry",
    }
    if lab.driver == "process":
        user = pwd.getpwuid(os.getuid())
        known = {
            "services": "supervisor",
            "root": str(lab.node_root(THIS_NODE)),
            "run": str(lab.run / THIS_NODE),
            "user": user.pw_name,
            "uid": user.pw_uid,
            "registry": lab.registry.as_uri(),
        }
        data = lab.data.as_uri()
        settings = {role: _store(lab) for role in STORE_ROLES}
    if lab.engine == "aws":
        settings = {role: _store(lab) for role in STORE_ROLES}
        known["environment"] = engines.VARIABLES
    settings.setdefault("autoscaler", {})["scaling_nodes"] = f"{data}/{lab.followed.name}"
    return {**known, "settings": settings}


def _store(lab: Lab) -> dict[str, str]:
    """Where the event store is, as this machine has it."""
    return engines.settings_of(lab) if lab.engine == "aws" else {"data": lab.data.as_uri()}


def _write(path: Path, content: object) -> None:
    aside = path.with_name(f"{path.name}.new")
    aside.write_text(yaml.safe_dump(content, sort_keys=False))
    aside.rename(path)
