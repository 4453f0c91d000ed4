"""How much memory a process has needed at most."""

from pathlib import Path


def peak_kib(pid: int) -> int:
    """Since it was started, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
