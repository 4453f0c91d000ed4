"""What `evctl` does while it is being imported."""

import subprocess
import sys
from collections.abc import Sequence

INTERRUPTED = """
import sys

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "cli.main":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
"""
EVCTL = "from cli.entry import main; main()"


def run(code: str, arguments: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    command = (sys.executable, "-c", code, *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_an_interrupt_during_its_imports_is_no_traceback():
    done = run(INTERRUPTED + EVCTL)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_it_is_evctl():
    done = run(EVCTL, ["--version"])
    assert (done.returncode, done.stderr) == (0, "")
