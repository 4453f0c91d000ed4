"""`python -m cli.lab.engines.build`: versitygw, an S3 server in Go, from its source.

That takes up to half an hour, once for each version, so nothing waits for it: what needs it says
"not run" where it isn't. Go itself checks what it downloads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cli.lab.engines.fetch import CACHE

NAME = "versitygw"
VERSION = "v1.8.0"
SOURCE = f"github.com/versity/{NAME}/cmd/{NAME}@{VERSION}"
BUILD_S = 3600


def program() -> Path:
    """Where it is once it was built."""
    return CACHE / f"{NAME}-{VERSION}" / NAME


def build() -> None:
    """Raises OSError, or subprocess's errors; then nothing is there."""
    target = program().parent
    if target.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as aside:
        files = Path(aside) / "bin"
        flags = f"{os.environ.get('GOFLAGS', '')} -p=2"  # others use this machine
        environment = {**os.environ, "GOBIN": str(files), "GOFLAGS": flags, "CGO_ENABLED": "0"}
        command = ("nice", "go", "install", "-trimpath", SOURCE)
        subprocess.run(command, env=environment, timeout=BUILD_S, check=True)
        try:
            files.rename(target)
        except OSError:
            if not target.exists():  # otherwise another was quicker
                raise


def main() -> int:
    if shutil.which("go") is None:
        print(f"{NAME} can't be built: there is no Go", file=sys.stderr)
        return 1
    try:
        build()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{NAME} can't be built: {error}", file=sys.stderr)
        return 1
    print(program())
    return 0


if __name__ == "__main__":
    sys.exit(main())
