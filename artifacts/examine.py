"""What a node can say of itself that helps to find out what is wrong with it."""

from __future__ import annotations

import hashlib
from pathlib import Path


def toolkit_digest(folder: Path) -> str:
    """Of the toolkit's own files, the same on the master and on every node in step with it."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
