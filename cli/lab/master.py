"""A real Salt master for a lab."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from cli.lab import traces
from cli.lab.launch import launch
from cli.lab.spec import REPOSITORY, Lab

PART = "master"
RETURN_PORT = 4506


def config(lab: Lab, user: str) -> dict[str, object]:
    """The master's settings: everything it writes lies below the lab's own folders."""
    root = lab.master_root
    return {
        "interface": lab.master_address,
        "user": user,
        "root_dir": "/",  # Salt puts it before every path below, were it another
        "pki_dir": str(root / "pki"),
        "cachedir": str(root / "cache"),
        "sock_dir": str(lab.run / "m"),
        "log_file": str(root / "log" / "master"),
        "pidfile": str(root / "master.pid"),
        "extension_modules": str(root / "extmods"),
        "module_dirs": [str(REPOSITORY / "salt")],
        "worker_threads": 3,
        "timeout": 3,
        "zmq_backlog": 1000,
        "ping_on_rotate": False,
        "log_level_logfile": "warning",
        "autosign_grains_dir": str(tokens_folder(lab)),
        "file_roots": {"base": [str(REPOSITORY / "salt")]},
        "fileserver_followsymlinks": True,
        "pillar_roots": {"base": [str(REPOSITORY / "pillar"), str(lab.root / "pillar")]},
        "ext_pillar": [
            {"evctl": {"fleet": str(lab.fleet_file), "tokens": str(tokens_folder(lab))}}
        ],
        "ext_pillar_first": True,
        "pillar_cache": False,
        "enable_fqdns_grains": False,
    }


def tokens_folder(lab: Lab) -> Path:
    return lab.master_root / "tokens"


def start(lab: Lab, user: str) -> None:
    """Start the master unless it runs."""
    if traces.of_part(lab, PART):
        return
    folder = lab.master_root / "etc"
    for needed in (folder, lab.run / "m", tokens_folder(lab)):
        needed.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "master").write_text(yaml.safe_dump(config(lab, user)))
    launch(
        lab,
        (str(Path(sys.executable).with_name("salt-master")), "-c", str(folder)),
        log=lab.master_root / "log" / "start",
        network=lab.network if lab.driver == "nspawn" else None,
    )
