"""The base image of a node: Debian with its own systemd and Python, a salt-minion, and uv.

Made once for each recipe and kept in a cache; nodes lay an overlay over it and never write to it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uv

from cli.lab.errors import LabFailed
from cli.lab.spec import REPOSITORY

Progress = Callable[[str], None]

SUITE = "bookworm"
PACKAGES = ("systemd", "systemd-sysv", "dbus", "python3", "iproute2", "ca-certificates", "procps")
SALT = "/opt/salt"
STEP_S = 900.0

# Nothing of these has work to do on a node without a resolver, a console or a clock of its own.
MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-update-utmp.service",
    "systemd-logind.service",
)

MINION_UNIT = f"""\
[Unit]
Description=Salt minion
After=network.target

[Service]
ExecStart={SALT}/bin/salt-minion
KillMode=process
Restart=always
RestartSec=1s
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""


def base_image(progress: Progress) -> Path:
    """The folder of the image for the lock of a node's Python packages; made when missing."""
    cache, node_lock = REPOSITORY / "build/cache", REPOSITORY / "requirements/node.lock"
    image = cache / f"image-{_recipe_digest(node_lock)}"
    cache.mkdir(parents=True, exist_ok=True)
    with _one_builder(cache):
        if not image.exists():
            _build(image, cache, node_lock, progress)
    return image


def _recipe_digest(node_lock: Path) -> str:
    recipe = hashlib.sha256(node_lock.read_bytes())
    recipe.update(Path(__file__).read_bytes())
    return recipe.hexdigest()[:12]


@contextmanager
def _one_builder(cache: Path) -> Iterator[None]:
    descriptor = os.open(cache / ".image.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _build(image: Path, cache: Path, node_lock: Path, progress: Progress) -> None:
    aside = image.with_name(f"{image.name}.partial")
    wheels = cache / "node-wheels"
    for leftover in (aside, wheels):
        if leftover.exists():
            shutil.rmtree(leftover)
    progress(f"base image: Debian {SUITE} (once, about a minute)")
    _step(_debian(aside))
    progress("base image: salt-minion in a virtual environment of the node's own Python")
    _step(
        (
            *(sys.executable, "-m", "pip", "wheel", "-q", "--require-hashes", "--no-deps"),
            *("-r", str(node_lock), "-w", str(wheels)),
        )
    )
    _install_salt(aside, wheels)
    _configure(aside)
    shutil.rmtree(wheels)
    aside.rename(image)


def _debian(target: Path) -> tuple[str, ...]:
    # By mmdebstrap: apt does it in half the processor time that debootstrap takes.
    command = (
        *("mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
        *(SUITE, str(target)),
    )
    mirror = _own_mirror()
    return (*command, mirror) if mirror else command


def _own_mirror() -> str | None:
    """Where this machine's own apt takes Debian from: a machine may know no other mirror."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for line in listed.stdout.splitlines():
        release, _, uri = line.partition(" ")
        if release == SUITE and uri:
            return uri
    return None


def _install_salt(image: Path, wheels: Path) -> None:
    shutil.copy2(uv.find_uv_bin(), image / "usr/local/bin/uv")
    inside = image / "opt/wheels"
    shutil.copytree(wheels, inside)
    chroot = ("chroot", str(image), "/usr/local/bin/uv")
    _step((*chroot, "venv", "-q", "--no-cache", SALT, "--python", "/usr/bin/python3"))
    names = sorted(f"/opt/wheels/{wheel.name}" for wheel in inside.iterdir())
    _step(
        (
            *(*chroot, "pip", "install", "-q", "--no-cache", "--python", f"{SALT}/bin/python"),
            *("--no-index", "--no-deps", "--compile-bytecode", *names),
        )
    )
    shutil.rmtree(inside)


def _configure(image: Path) -> None:
    units = image / "etc/systemd/system"
    (units / "salt-minion.service").write_text(MINION_UNIT)
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "salt-minion.service").symlink_to("/etc/systemd/system/salt-minion.service")
    for unit in MASKED:
        link = units / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    resolver = image / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    resolver.write_text("")
    (image / "etc/salt").mkdir(exist_ok=True)
    shutil.rmtree(image / "var/cache/apt/archives", ignore_errors=True)


def _step(command: tuple[str, ...]) -> None:
    environment = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LC_ALL": "C"}
    kept = {name: os.environ[name] for name in _NETWORK_SETTINGS if name in os.environ}
    done = subprocess.run(
        command,
        env=environment | kept,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STEP_S,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-5:]
        raise LabFailed(
            f"the base image could not be made: `{command[0]}` failed",
            why=" · ".join(said) or f"exit code {done.returncode}",
            next_step="mend what it names and run `evctl lab up` again, or use --driver process",
        )


# What a machine behind a proxy or a mirror of its own needs to be let through.
_NETWORK_SETTINGS = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "PIP_CONFIG_FILE", "SSL_CERT_FILE"),
    *("REQUESTS_CA_BUNDLE", "HOME"),
)
