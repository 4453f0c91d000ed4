"""A generation's log: a file of bounded size, rotated once, and its last lines for evidence."""

from __future__ import annotations

from collections import deque
from pathlib import Path

FILE_BYTES_MAX = 4 * 1024 * 1024
LINE_BYTES_MAX = 8 * 1024
EVIDENCE_LINES = 20


class GenerationLog:
    """Appends lines to `path`; a full file becomes `<path>.1`. A log that can't be written is
    dropped: a full disk must not stop a role."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: deque[str] = deque(maxlen=EVIDENCE_LINES)

    def write(self, line: bytes) -> None:
        line = line[:LINE_BYTES_MAX].rstrip(b"\r\n")
        self._last.append(line.decode("utf-8", "replace"))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(line + b"\n")
                full = file.tell() > FILE_BYTES_MAX
            if full:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
        except OSError:
            return

    def last_lines(self) -> list[str]:
        return list(self._last)
