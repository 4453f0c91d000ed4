"""The checker as a process of its own, in the lab's network, where the event store may be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from cli.lab.engines.start import VARIABLES
from cli.lab.namespaces import inside
from cli.lab.spec import REPOSITORY, Lab
from demo.check import Check
from demo.evctl import UnexpectedExit
from demo.kept import Kept

CHECK_S = 600.0
JUDGED = (0, 1)  # what it found, good or not


def checked(lab: Lab, ledger: Path, drain_s: float) -> Check:
    """What it finds once the store is drained. UnexpectedExit when it found nothing out; its own
    words are on the terminal."""
    done = subprocess.run(
        (
            *(*inside(lab), sys.executable, "-m", "demo.check", "--ledger", str(ledger)),
            *("--settings", str(lab.store_settings), "--wait", str(drain_s)),
        ),
        cwd=REPOSITORY,
        env={**os.environ, **(VARIABLES if lab.engine == "aws" else {})},
        stdout=subprocess.PIPE,
        text=True,
        timeout=CHECK_S,
        check=False,
    )
    if done.returncode not in JUDGED:
        raise UnexpectedExit(f"the checker ended with {done.returncode}")
    found = json.loads(done.stdout)
    del found["good"]
    return Check(**{**found, "kept": Kept(**found["kept"])})
