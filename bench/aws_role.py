"""A role on the stub of AWS, as a process: `python -m bench.aws_role ROLE --settings FILE`.

It is the role as it is, with a clock around each call of AWS: what these took of its processor time
is written beside the settings when it ends.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from eventstore.__main__ import main
from eventstore.backends.aws.calls import Calls

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
lock = threading.Lock()
spent = {"calls": 0.0, "cpu_s": 0.0}


def timed(self: Calls, operation: str, **arguments: Any) -> dict[str, Any]:
    began = time.thread_time()
    try:
        return call(self, operation, **arguments)
    finally:
        took = time.thread_time() - began
        with lock:
            spent["calls"] += 1
            spent["cpu_s"] += took


if __name__ == "__main__":
    os.environ.update(CREDENTIALS)
    logging.getLogger("botocore").setLevel(logging.WARNING)  # the first line is the role's address
    call = Calls.__call__
    Calls.__call__ = timed  # type: ignore[method-assign]
    settings = Path(sys.argv[sys.argv.index("--settings") + 1])
    try:
        code = main(sys.argv[1:])
    finally:
        settings.with_name(f"{sys.argv[1]}.calls.json").write_text(json.dumps(spent))
    raise SystemExit(code)
