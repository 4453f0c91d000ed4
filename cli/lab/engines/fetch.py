"""`python -m cli.lab.engines.fetch`: DynamoDB Local and ElasticMQ as jars, through Maven. What is a
Python program gets a virtual environment of its own when it is first started, or named here.

A jar's folder here has a pom.xml with one pinned version, and files.sha256 with every file that it
resolves to. They are kept outside the repository, once for each pom and digest list.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cli.lab.spec import REPOSITORY

HERE = Path(__file__).parent
JARS = ("dynamodb-local", "elasticmq")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evctl" / "engines"
FETCH_S = 300


def jars_of(engine: str) -> Path:
    """Where an engine's files are once they were fetched."""
    parts = sorted(one for one in (HERE / engine).iterdir() if one.is_file())
    digest = hashlib.sha256(b"".join(one.read_bytes() for one in parts)).hexdigest()[:12]
    return CACHE / f"{engine}-{digest}"


def fetch_jars(engine: str) -> None:
    """Raises OSError, ValueError, or subprocess's errors; then nothing is there."""
    target = jars_of(engine)
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


def python_environment(name: str) -> Path:
    """The virtual environment of requirements/<name>.lock; made once for each lock. Raises OSError,
    or subprocess's errors."""
    lock = REPOSITORY / f"requirements/{name}.lock"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    home = REPOSITORY / "build/cache" / name
    ready = home / f"ready-{digest}"
    home.mkdir(parents=True, exist_ok=True)
    with home.with_name(f"{name}.lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(home)
            _run(sys.executable, "-m", "venv", str(home))
            install = (str(home / "bin/pip"), "install", "-q", "--disable-pip-version-check")
            by_lock = ("--require-hashes", "--only-binary", ":all:", "-r", str(lock))
            _run(*install, "--no-compile", *by_lock)
            ready.touch()
    return home


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


def main(environments: list[str]) -> int:
    """0 also when some could not be had: their tests say "not run"."""
    makers: dict[str, Callable[[], object]] = {
        f"the engine {engine}": partial(fetch_jars, engine) for engine in JARS
    }
    if environments:
        makers = {f"the server {one}": partial(python_environment, one) for one in environments}
    for what, make in makers.items():
        try:
            make()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stdout", None) or b"").decode(errors="replace")[-500:]
            print(f"{what} could not be fetched: {error} {said}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
