"""`python -m tests.aws.fetch`: the engines that the tests of AWS run on, as jars through Maven.

Each engine's folder here has a pom.xml with one pinned version, and files.sha256 with every file
that it resolves to. They are kept outside the repository, once for each pom and digest list.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ENGINES = ("dynamodb-local", "elasticmq")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evctl" / "engines"
FETCH_S = 300


def folder_of(engine: str) -> Path:
    """Where an engine's files are once they were fetched."""
    parts = sorted(one for one in (HERE / engine).iterdir() if one.is_file())
    digest = hashlib.sha256(b"".join(one.read_bytes() for one in parts)).hexdigest()[:12]
    return CACHE / f"{engine}-{digest}"


def fetch(engine: str) -> None:
    """Raises OSError, ValueError, or subprocess's errors; then nothing is there."""
    target = folder_of(engine)
    if target.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as aside:
        files = Path(aside) / "files"
        copy = ("dependency:copy-dependencies", f"-DoutputDirectory={files}")
        _run("mvn", "-q", "-B", "-f", str(HERE / engine / "pom.xml"), *copy)
        _check(engine, files)
        for source in (HERE / engine).glob("*.java"):
            _run("javac", "-cp", f"{files}/*", "-d", str(files), str(source))
        try:
            files.rename(target)
        except OSError:
            if not target.exists():  # otherwise another was quicker
                raise


def _check(engine: str, files: Path) -> None:
    lines = (HERE / engine / "files.sha256").read_text().splitlines()
    wanted = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    found = {
        one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in sorted(files.iterdir())
    }
    if found != wanted:
        others = sorted(dict(found.items() ^ wanted.items()))
        raise ValueError(f"{engine}: not the files that files.sha256 names: {', '.join(others)}")


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, timeout=FETCH_S, check=True)


def main() -> int:
    """0 also when some could not be had: their tests say "not run"."""
    for engine in ENGINES:
        try:
            fetch(engine)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stdout", None) or b"").decode(errors="replace")[-500:]
            print(f"the test engine {engine} could not be fetched: {error} {said}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
