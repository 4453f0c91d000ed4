"""What the master tells a node, as the states get it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any


def node_pillar(**changes: Any) -> dict[str, Any]:
    """Pillar of a node on a machine, as the master gives it."""
    known = {
        "id": "node-01",
        "role": "collector",
        "address": "10.77.0.11",
        "port": 8080,
        "ready_s": 15,
        "drain_s": 10,
        "release": "0.1.0-0123456789ab",
        "trust": {"k1": "key"},
        "registry": "file:///srv/evctl/registry",
        "root": "/",
        "run": "/run/evctl",
        "services": "systemd",
        "user": "evctl",
        "uid": 901,
        "keep": 3,
        "settings": {"collector": {"data": "file:///srv/eventstore"}},
        "writable": ["/srv/eventstore"],
    }
    return {"evctl": known | changes}


def folder_pillar(root: Path, **changes: Any) -> dict[str, Any]:
    """Pillar of a node whose tree is a folder, as a lab of processes gives it."""
    user = pwd.getpwuid(os.getuid())
    folder = {
        "root": str(root),
        "run": str(root / "run"),
        "services": "supervisor",
        "user": user.pw_name,
        "uid": user.pw_uid,
    }
    return node_pillar(**(folder | changes))
