"""Remove what no one needs any more; never what serves, served, or is spoken for."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable

from artifacts.layout import Layout, remove_tree


def removable(unpacked: Iterable[str], needed: Collection[str], keep: int) -> list[str]:
    """Of releases, the newest first: all but the needed ones and the newest `keep` of the rest."""
    return [release for release in unpacked if release not in needed][keep:]


def prune(layout: Layout, needed: Collection[str], keep: int) -> list[str]:
    """Remove releases, rests of interrupted prefetches, and their logs. Call it with the node's
    lock held. Answers what was removed."""
    removed = [*removable(layout.unpacked(), needed, keep), *layout.partial()]
    for name in removed:
        remove_tree(layout.releases / name)
        for log in layout.logs.glob(f"*-{name}.log*"):
            log.unlink(missing_ok=True)
    shutil.rmtree(layout.cache / "tarballs", ignore_errors=True)
    return removed
