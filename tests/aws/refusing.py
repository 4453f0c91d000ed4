"""An endpoint that answers everything with one error, as AWS does to what the local engines never
look at: keys, policies, clocks."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler


class Refusing(BaseHTTPRequestHandler):
    """code, status: of the error; of a subclass."""

    protocol_version = "HTTP/1.1"
    code, status = "", 400

    def do_POST(self) -> None:
        if "form" in self.headers.get("Content-Type", ""):  # EC2, Auto Scaling, STS
            self.do_GET()
            return
        body = json.dumps({"__type": f"com.amazon#{self.code}", "message": "said\nso"}).encode()
        self._say(body, "application/x-amz-json-1.0")

    def do_GET(self) -> None:
        error = f"<Error><Code>{self.code}</Code><Message>said so</Message></Error>"
        self._say(f"<Response>{error}</Response>".encode(), "application/xml")

    def _say(self, body: bytes, kind: str) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""
