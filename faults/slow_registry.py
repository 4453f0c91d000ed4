"""A slow registry: its folder, read as S3 is read, so many bytes a second. A stand-in: it checks no
signature and takes nothing.

    python -m faults.slow_registry FOLDER --address 10.77.0.1 --port 9000 --bytes-a-second 500000
"""

from __future__ import annotations

import argparse
import time
import urllib.parse
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BUCKET = "registry"
CHUNK_S = 0.1


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD of objects, with `Range: bytes=N-`."""

    protocol_version = "HTTP/1.1"

    def __init__(self, folder: Path, bytes_a_second: int, *more: Any) -> None:
        self._folder = folder
        self._bytes_a_second = bytes_a_second
        super().__init__(*more)

    def do_HEAD(self) -> None:
        self._begin()

    def do_GET(self) -> None:
        left = self._begin()
        for at in range(0, len(left), step := max(1, int(self._bytes_a_second * CHUNK_S))):
            self.wfile.write(left[at : at + step])
            time.sleep(CHUNK_S)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""

    def _begin(self) -> bytes:
        """Answers the head; the body that it promises."""
        key = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        path = self._folder / key.removeprefix(f"/{BUCKET}/")
        if not path.is_file():
            self.send_response(HTTPStatus.NOT_FOUND)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return b""
        body = path.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(HTTPStatus.PARTIAL_CONTENT if "Range" in self.headers else HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", f'"{len(body)}"')
        self.end_headers()
        return body[start:]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m faults.slow_registry", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bytes-a-second", type=int, required=True)
    given = parser.parse_args()
    handler = partial(Handler, given.folder, given.bytes_a_second)
    ThreadingHTTPServer((given.address, given.port), handler).serve_forever()


if __name__ == "__main__":
    main()
