"""One request to a running collector, and its answer as a client sees it."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WAIT_S = 30


@dataclass(frozen=True)
class Answer:
    """headers: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a refusal; every refusal must say what, why and what next."""
        error = self.json["error"]
        assert error["reason"]
        assert error["next"]
        return str(error["code"])


def send(
    port: int,
    path: str,
    body: bytes | str = b"",
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
) -> Answer:
    """On a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        names = {name.lower(): text for name, text in response.getheaders()}
        return Answer(response.status, names, response.read())
    finally:
        connection.close()
