"""A role on the stub of AWS, as a process: `python -m bench.aws_role ROLE --settings FILE`.

It is the role as it is, with a clock around each call of AWS, and around what boto3 does of it:
what these took of its processor time is written beside the settings when it ends.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.httpsession import URLLib3Session

from eventstore.backends.aws.calls import Calls
from eventstore.roles import main

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
lock = threading.Lock()
spent: Counter[str] = Counter()  # name → microseconds; `calls`: how many


def clocked(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*arguments: Any, **more: Any) -> Any:
        began_ns = time.thread_time_ns()
        try:
            return call(*arguments, **more)
        finally:
            took_us = (time.thread_time_ns() - began_ns) // 1000
            with lock:
                spent[name] += took_us
                spent["calls"] += name == "aws"

    return timed


if __name__ == "__main__":
    os.environ.update(CREDENTIALS)
    logging.getLogger("botocore").setLevel(logging.WARNING)  # the first line is the role's address
    Calls.__call__ = clocked("aws", Calls.__call__)  # type: ignore[method-assign]
    URLLib3Session.send = clocked("boto3", URLLib3Session.send)  # type: ignore[method-assign]
    settings = Path(sys.argv[sys.argv.index("--settings") + 1])
    try:
        code = main(sys.argv[1:])
    finally:
        settings.with_name(f"{sys.argv[1]}.calls.json").write_text(json.dumps(spent))
    raise SystemExit(code)
