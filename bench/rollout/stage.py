"""Where the rows of `make bench-rollout` are measured: a lab of six collectors, two releases, and
beside evctl's own service another one, the same program, for the peers to restart."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.processes import roles
from bench.rollout import recipes
from cli.lab.operate import inside, power_off
from cli.lab.spec import REPOSITORY, Lab, load_lab
from demo.client import under_load
from demo.evctl import Evctl
from demo.figures import add_up
from demo.ledger import read_requests
from demo.source import Source

NAME = "benchr"
NODES = tuple(f"collector-{number:02}" for number in range(1, 7))
RATE = 300.0
EVCTL_PORT = 8080
EVCTL_ROOT, PEER_ROOT = Path("opt/evctl"), Path("srv/app")
DEBIAN = ("openssh-server", "openssh-sftp-server", "libwrap0")
STEP_S = 120.0
BEFORE_S, AFTER_S = 2.0, 1.5  # of load, on each side of a row
CPU_TICKS = Path("/proc/stat")
QUIET, QUIET_S_MAX, LOOK_S = 0.25, 15.0, 1.0


@dataclass(frozen=True)
class Traffic:
    sent: int
    failed: int


class Stage:
    """folder: its files. old, new: the two releases, by their ids."""

    folder = REPOSITORY / "build/bench-rollout"
    lab_root = REPOSITORY / "build/labs" / NAME

    def __init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.source = Source.copy(REPOSITORY, self.folder / "app")
        self.evctl = Evctl(fleet=self.lab_root / "fleet.yaml", folder=self.source.folder)
        self.old = self.new = ""
        self.off: tuple[str, ...] = ()

    @property
    def lab(self) -> Lab:
        lab = load_lab(self.lab_root)
        if lab is None:
            raise RuntimeError(f"the lab at {self.lab_root} has gone")
        return lab

    @property
    def states(self) -> Path:
        """What the master serves to nodes, beside the project's own states."""
        return self.folder / "salt"

    @property
    def key(self) -> Path:
        return self.folder / "ssh/key"

    def up(self) -> None:
        self.down()
        self._let_the_master_serve_states()
        self.evctl("lab", "up", "--name", NAME, "--driver", "nspawn", "--nodes", "none")
        self.source.set_version("0.1.0")
        self.old = self.evctl("release", "--channel", "stable").result["release"]
        self.evctl("lab", "up", "--name", NAME, "--nodes", ",".join(NODES))
        self.source.set_version("0.1.1")
        self.new = self.evctl("release").result["release"]
        self._prepare_peers()

    def down(self) -> None:
        self.evctl("lab", "down", "--name", NAME)

    def tarball(self, release: str) -> Path:
        return self.lab.registry / "releases" / release / "release.tar"

    def on_disk(self, node: str) -> Path:
        """A node's own file tree, seen from here."""
        return self.lab.node_root(node) / "merged"

    def run(self, node: str, *command: str) -> None:
        subprocess.run(
            inside(self.lab, node, command), capture_output=True, timeout=STEP_S, check=True
        )

    def serving(self, root: Path, release: str) -> int:
        """How many nodes' links name this release. root: EVCTL_ROOT or PEER_ROOT."""
        link = root / ("current/collector" if root == EVCTL_ROOT else "current")
        return sum((self.on_disk(node) / link).readlink().name == release for node in self.up_now())

    def up_now(self) -> list[str]:
        return [node for node in NODES if node not in self.off]

    def forget(self, release: str) -> None:
        """No node has it on its disk any more."""
        for node in NODES:
            for root in (EVCTL_ROOT, PEER_ROOT):
                self.run(node, "rm", "-rf", f"/{root}/releases/{release}")

    def bring_peers(self, release: str) -> None:
        """Every node's service for the peers runs from this release."""
        for node in NODES:
            self._unpack_for_peers(node, release)
            self.run(node, "ln", "-sfn", f"{recipes.APP}/releases/{release}", "/srv/app/current")
            self.run(node, "systemctl", "restart", "app")

    @contextmanager
    def drained(self) -> Iterator[None]:
        """A processor on this machine takes what the collectors queue: else they would refuse
        more, sooner or later."""
        with roles(self.lab.data, ("processor",)):
            yield

    @contextmanager
    def one_off(self) -> Iterator[str]:
        """The last node's power is cut meanwhile."""
        node = NODES[-1]
        power_off(self.lab, node)
        self.off = (node,)
        try:
            yield node
        finally:
            self.evctl("lab", "up", "--name", NAME)
            self.off = ()

    @contextmanager
    def traffic(self, port: int) -> Iterator[list[Traffic]]:
        """Requests to every node that is up, before, meanwhile and afterwards; then what they
        add up to is in the list."""
        found: list[Traffic] = []
        ledger = self.folder / f"ledger-{time.time_ns()}"
        up = [node for node in self.lab.nodes if node.id not in self.off]
        targets = [f"http://{node.address}:{port}" for node in up]
        with under_load(self.lab, targets, ledger, RATE):
            time.sleep(BEFORE_S)
            yield found
            time.sleep(AFTER_S)
        figures = add_up(read_requests(ledger))
        found.append(Traffic(figures.sent, figures.failed))

    def _let_the_master_serve_states(self) -> None:
        self.states.mkdir(exist_ok=True)
        (self.states / "app.sls").write_text(recipes.SALT)
        further = self.lab_root / "master/etc/master.d"
        further.mkdir(parents=True)
        roots = {"file_roots": {"base": [str(REPOSITORY / "salt"), str(self.states)]}}
        (further / "bench.conf").write_text(yaml.safe_dump(roots))

    def _prepare_peers(self) -> None:
        self._make_keys()
        for release in (self.old, self.new):
            link = self.states / f"{release}.tar"
            link.unlink(missing_ok=True)
            link.symlink_to(self.tarball(release))
        packages = self._packages()
        for node in NODES:
            root = self.on_disk(node)
            for package in packages:
                _unpack_debian(package, root)
            for path, text in self._files().items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            (root / "etc/ssh/bench_host_key").chmod(0o600)
            with (root / "etc/passwd").open("a") as accounts:
                accounts.write("sshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n")
            self.run(node, "systemctl", "daemon-reload")
            self.run(node, "systemctl", "enable", "--now", "bench-sshd")
            self.run(node, "systemctl", "enable", "app")
        self.bring_peers(self.old)

    def _unpack_for_peers(self, node: str, release: str) -> None:
        folder = self.on_disk(node) / PEER_ROOT / "releases" / release
        if folder.exists():
            return
        folder.mkdir(parents=True)
        subprocess.run(
            ("tar", "-xf", self.tarball(release), "-C", folder), timeout=STEP_S, check=True
        )

    def _make_keys(self) -> None:
        self.key.parent.mkdir(exist_ok=True)
        for name in ("key", "host"):
            if not (self.key.parent / name).exists():
                subprocess.run(
                    ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key.parent / name),
                    timeout=STEP_S,
                    check=True,
                )

    def _packages(self) -> list[Path]:
        """An sshd for nodes, which have none."""
        folder = self.folder / "debian"
        if not folder.exists():
            aside = folder.with_name("debian.partial")
            aside.mkdir(exist_ok=True)
            subprocess.run(
                ("apt-get", "download", "-q", *DEBIAN),
                cwd=aside,
                capture_output=True,
                timeout=STEP_S,
                check=True,
            )
            aside.rename(folder)
        return sorted(folder.glob("*.deb"))

    def _files(self) -> dict[str, str]:
        python = f"/{EVCTL_ROOT}/releases/{self.old}/venv/bin/python"
        return {
            "etc/systemd/system/app.service": recipes.APP_UNIT.substitute(python=python),
            "etc/systemd/system/bench-sshd.service": recipes.SSHD_UNIT,
            "usr/local/lib/app/start.py": recipes.START_APP,
            "usr/local/lib/app/ready.py": recipes.WAIT_READY,
            "etc/app.yaml": recipes.APP_SETTINGS,
            "etc/ssh/bench_config": recipes.SSHD_CONFIG,
            "etc/ssh/bench_host_key": (self.key.parent / "host").read_text(),
            "root/.ssh/authorized_keys": self.key.with_suffix(".pub").read_text(),
        }


def _unpack_debian(package: Path, root: Path) -> None:
    files = subprocess.run(
        ("dpkg-deb", "--fsys-tarfile", package), capture_output=True, timeout=STEP_S, check=True
    )
    subprocess.run(
        ("tar", "-x", "--keep-directory-symlink", "-C", root),
        input=files.stdout,
        timeout=STEP_S,
        check=True,
    )


def wait_until_quiet() -> float:
    """Until the machine has little else to do, within bounds; the share of it that is taken."""
    deadline = time.monotonic() + QUIET_S_MAX
    while (taken := _taken()) > QUIET and time.monotonic() < deadline:
        pass
    return taken


def _taken() -> float:
    """The share of all cores that was busy during one look."""
    before = _ticks()
    time.sleep(LOOK_S)
    busy, every = (after - first for first, after in zip(before, _ticks(), strict=True))
    return busy / max(1, every)


def _ticks() -> tuple[int, int]:
    """(busy, all) since boot."""
    ticks = [int(one) for one in CPU_TICKS.read_text().splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
