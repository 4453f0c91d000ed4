"""A release's own virtual environment: built in its final place, offline, by hash.

Commands are built as data; `_run` is the only place that runs one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from artifacts import byte_code
from artifacts.disk import NO_ROOM
from artifacts.node_errors import ImportCheckFailed, InstallFailed, InterpreterMissing, NodeError

INSTALL_TIMEOUT_S = 300.0
CHECK_TIMEOUT_S = 30.0
# The tests and build tools that packages bring: two thirds of numpy. They work without byte code.
_NOT_RUN_ON_NODES = "/(tests?|distutils|f2py)/"

_CHECK = """
import importlib, importlib.util, sys
name = sys.argv[1]
module = importlib.import_module(name)
if hasattr(module, "__path__") and importlib.util.find_spec(name + ".__main__") is None:
    sys.exit(f"{name} is a package without __main__")
"""


def interpreter(version: str, named: Path | None) -> Path:
    """The Python that a release of this version (such as `3.11`) gets. InterpreterMissing."""
    at_home = Path(f"/usr/bin/python{version}")
    in_path = shutil.which(f"python{version}")
    for candidate in (named, at_home, Path(in_path) if in_path else None):
        if candidate is not None and candidate.is_file():
            return candidate
        if candidate is not None and candidate == named:
            break
    raise InterpreterMissing(
        f"there is no Python {version} on this node",
        why=f"looked for {named or at_home}",
        next_step=f"install python{version}, or name one as `python` in node.yaml",
    )


def uv_binary() -> str:
    """uv: of the environment that the toolkit runs in, else from PATH."""
    try:
        import uv

        return os.fspath(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise InstallFailed(
            "there is no uv on this node",
            next_step="install the node's requirements again (requirements/node.lock)",
        )
    return found


def venv_command(uv: str, python: Path, venv: Path) -> tuple[str, ...]:
    return (
        uv, "venv", "--quiet", "--no-config", "--offline", "--no-python-downloads",
        "--python", str(python), str(venv),
    )  # fmt: skip


def install_command(uv: str, venv: Path, wheels: Path, lock: Path) -> tuple[str, ...]:
    return (
        uv, "pip", "install", "--quiet", "--no-config", "--offline", "--no-index",
        "--find-links", str(wheels), "--require-hashes",
        "--link-mode", "hardlink", "--python", str(venv / "bin/python"),
        "--requirements", str(lock),
    )  # fmt: skip


def check_command(venv: Path, module: str) -> tuple[str, ...]:
    return (str(venv / "bin/python"), "-c", _CHECK, module)


def compile_command(venv: Path, folder: Path) -> tuple[str, ...]:
    python = str(venv / "bin/python")
    return (python, "-m", "compileall", "-q", "-x", _NOT_RUN_ON_NODES, str(folder))


def build_venv(
    release: Path, python: Path, wheels: Path, cache: Path, others: Iterable[Path] = ()
) -> None:
    """venv/ of an unpacked release, from the wheels and by the lock that it brought.

    A release without a lock gets a bare one. uv knows a local wheel by its path, so `wheels` must
    be the same folder for every release: then equal wheels are hard links into the cache. others:
    whole releases; of one with the same lock the byte code is taken over.
    """
    uv = uv_binary()
    env = {
        "PATH": os.defpath,
        "HOME": str(cache),
        "UV_CACHE_DIR": str(cache / "uv"),
        "LC_ALL": "C.UTF-8",
    }
    venv = release / "venv"
    _must(venv_command(uv, python, venv), env, release)
    lock = release / "requirements.lock"
    if lock.is_file():
        _must(install_command(uv, venv, wheels, lock), env, release)
        for other in others:
            if byte_code.are_equal(other / lock.name, lock):
                byte_code.take_of_links(other / "venv/lib", venv / "lib")
                break
        _run(compile_command(venv, venv / "lib"), env, release, INSTALL_TIMEOUT_S)


def check_imports(release: Path, modules: set[str], others: Iterable[Path] = ()) -> None:
    """Import what the roles will run, and compile the app: a service may not write byte code.
    others: whole releases, whose byte code of the same files is taken over."""
    env = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    venv, app = release / "venv", release / "app"
    for module in sorted(modules):
        code, said = _run(check_command(venv, module), env, app, CHECK_TIMEOUT_S)
        if code != 0:
            raise ImportCheckFailed(
                f"release {release.name} can't be used: importing {module} failed",
                why=_last_words(said),
                next_step="mend the release and publish another; this one was not activated",
            )
    if modules:
        for other in others:
            byte_code.take_of_equals(other / "app", app)
        # Files that don't compile may be meant so (templates): what is needed was imported.
        _run(compile_command(venv, app), env, app, INSTALL_TIMEOUT_S)


def _must(command: tuple[str, ...], env: Mapping[str, str], release: Path) -> None:
    code, said = _run(command, env, release, INSTALL_TIMEOUT_S)
    if code != 0:
        for number in NO_ROOM:  # a full disk, and no fault of the release
            if os.strerror(number) in said:
                raise OSError(number, os.strerror(number))
        raise InstallFailed(
            f"release {release.name} can't be installed",
            why=f"{Path(command[0]).name} {command[1]}: {_last_words(said)}",
            next_step="build the release on the platform that it runs on, and publish it again",
        )


def _run(
    command: tuple[str, ...], env: Mapping[str, str], folder: Path, timeout_s: float
) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command, cwd=folder, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=timeout_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode("utf-8", "replace")
        return -1, f"{said}\nit took longer than {timeout_s:g} s"
    except FileNotFoundError as error:
        raise NodeError(f"can't run {command[0]}", why=str(error)) from error
    return done.returncode, done.stdout.decode("utf-8", "replace")


def _last_words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " | ".join(lines[-5:])[:1000]
