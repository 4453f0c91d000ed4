"""What can go wrong with a lab."""

from __future__ import annotations

from artifacts.errors import EvctlError


class LabUsageError(EvctlError):
    code = "E5301"
    exit_code = 2
    explanation = "A lab was asked for something that it hasn't got or can't be."


class LabNotPossible(EvctlError):
    code = "E3901"
    exit_code = 4
    explanation = (
        "This machine or user can't run the lab as asked: systemd-nspawn nodes need root, "
        "network namespaces and overlay mounts. `--driver process` needs none of these."
    )


class LabFailed(EvctlError):
    code = "E3902"
    exit_code = 6
    explanation = (
        "A step of bringing the lab up failed. What was started so far still runs; "
        "`evctl lab down` removes all of it, `evctl lab up` tries the rest again."
    )
