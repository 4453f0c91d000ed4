"""`make demo`: plays the story and judges it. Exit code 0 only when nothing was lost."""

from __future__ import annotations

import argparse
import sys
import time

from artifacts.errors import EvctlError
from demo.evctl import UnexpectedExit
from demo.receipt import REQUESTS_MIN, REQUESTS_MIN_ON_AWS, verdict
from demo.receipt_text import show
from demo.story import Setting, tell


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--driver", choices=("auto", "nspawn", "process"), default="auto")
    parser.add_argument("--engine", choices=("embedded", "aws"), default="embedded")
    given = parser.parse_args()
    enough = REQUESTS_MIN_ON_AWS if given.engine == "aws" else REQUESTS_MIN
    setting = Setting(driver=given.driver, engine=given.engine, requests_min=enough)
    began = time.monotonic()
    try:
        receipt = tell(setting)
    except (UnexpectedExit, TimeoutError, EvctlError) as error:
        print(f"the story broke off: {error}", file=sys.stderr)
        return 1
    reasons = verdict(receipt, requests_min=setting.requests_min, swaps_min=setting.swaps_min)
    show(receipt, reasons, sys.stdout)
    print(f"receipt: {setting.folder / 'receipt.json'}")
    print(f"report:  {setting.folder / 'report.html'}")
    print(f"took {time.monotonic() - began:.0f} s")
    return 1 if reasons else 0


if __name__ == "__main__":
    raise SystemExit(main())
