"""Makers of the engines that run generations: one for each implementation of ServiceManager."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Protocol

import jinja2

from artifacts.layout import Layout
from artifacts.services import ServiceManager
from artifacts.services_supervisor import CONTROL, SupervisorServices
from artifacts.services_systemd import SystemdServices
from tests.contracts.process_apps import (
    DRAIN_S,
    READY_S,
    REPOSITORY,
    App,
    write_settings,
)

NODE = "node-01"
WITHIN_S = 10.0
ON_MACHINE = "EVCTL_TESTS_ON_MACHINE"  # set where "/" and systemd are the tests' own


class Engine(Protocol):
    """A node's engine with one role on it."""

    layout: Layout
    services: ServiceManager
    address: tuple[str, int]
    node: str

    def plant(self, settings: dict[str, str]) -> None:
        """The role's settings from now on, beside those that it always needs."""

    def down(self) -> None:
        """Everything of it is gone."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class SupervisorEngine:
    """Our own supervisor, as a process of its own."""

    def __init__(self, root: Path, app: App) -> None:
        self.node = NODE
        self.app = app
        self.root = root
        # A unix socket's path is at most 107 bytes: not below pytest's deep folders.
        self.run = Path(tempfile.mkdtemp(prefix="evct-"))
        self.layout = Layout(root, self.run)
        self.services = SupervisorServices(self.layout)
        self.plant({})
        self.move()
        self.command = (
            sys.executable, "-m", "artifacts.supervisor",
            "--root", str(self.root), "--run", str(self.run),
        )  # fmt: skip
        self.process = self.power_on()

    def plant(self, settings: dict[str, str]) -> None:
        always = self.app.settings(self.root / "data")
        write_settings(self.root / f"etc/evctl/{self.app.role}.yaml", always | settings)

    def move(self) -> None:
        """To another address, as far as the role's settings go."""
        self.address = ("127.0.0.1", free_port())
        role = {"role": self.app.role, "node": NODE, "listen": "{}:{}".format(*self.address)}
        write_settings(self.layout.supervisor_roles / f"{self.app.role}.yaml", role)

    def power_on(self) -> subprocess.Popen[bytes]:
        with (self.root / "supervisor.log").open("ab") as log:
            process = subprocess.Popen(
                self.command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + WITHIN_S
        while not self._answers():
            assert process.poll() is None, (self.root / "supervisor.log").read_text()
            assert time.monotonic() < deadline, "the supervisor doesn't answer"
            time.sleep(0.02)
        self.process = process
        return process

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.run / CONTROL)) == 0

    def kill(self) -> None:
        """As by kill -9."""
        self.process.kill()
        self.process.wait(WITHIN_S)

    def down(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(DRAIN_S + WITHIN_S)
            finally:
                self.process.kill()
                self.process.wait(WITHIN_S)
        shutil.rmtree(self.run, ignore_errors=True)


class SystemdEngine:
    """The machine's own systemd, with the very units that Salt renders. Root "/" is its layout."""

    UNITS = Path("/run/systemd/system")

    def __init__(self, root: Path, app: App) -> None:
        self.node = NODE
        self.app = app
        self.root = root
        self.run = Path("/run/evctl")
        self.run.mkdir(exist_ok=True)
        self.layout = Layout(Path("/"), self.run)
        self.services = SystemdServices(self.layout)
        self.address = ("127.0.0.1", free_port())
        self.plant({})
        for kind, name in {
            "socket": f"ev-{app.role}.socket",
            "anchor": f"ev-{app.role}.service",
            "generation": f"ev-{app.role}@.service",
        }.items():
            (self.UNITS / name).write_text(self._unit(kind))
        self._systemctl("daemon-reload")
        self._systemctl("start", f"ev-{app.role}.socket")

    def _unit(self, kind: str) -> str:
        template = (REPOSITORY / f"salt/role/files/{kind}.jinja").read_text()
        evctl = {
            "id": NODE,
            "user": "root",
            "run": str(self.run),
            "ready_s": READY_S,
            "drain_s": DRAIN_S,
            "writable": [str(self.root)],
        }
        # autoescape off: units aren't HTML.
        environment = jinja2.Environment(autoescape=False)  # noqa: S701
        return environment.from_string(template).render(
            role=self.app.role,
            listen="{}:{}".format(*self.address),
            admin_socket=f"{self.run}/{self.app.role}",
            evctl=evctl,
        )

    def _systemctl(self, *words: str) -> None:
        subprocess.run(("systemctl", *words), check=True, timeout=60)

    def plant(self, settings: dict[str, str]) -> None:
        always = self.app.settings(self.root / "data")
        write_settings(Path(f"/etc/evctl/{self.app.role}.yaml"), always | settings)

    def down(self) -> None:
        role = self.app.role
        for generation in self.services.generations(role):
            self.services.stop(role, generation.release, drain_s=DRAIN_S)
        for name in (f"ev-{role}.socket", f"ev-{role}.service", f"ev-{role}@.service"):
            (self.UNITS / name).unlink(missing_ok=True)
        self._systemctl("daemon-reload")
        subprocess.run(("systemctl", "stop", f"ev-{role}.socket"), check=False, timeout=60)
        shutil.rmtree("/opt/evctl/releases", ignore_errors=True)


ENGINES = {"supervisor": SupervisorEngine, "systemd": SystemdEngine}
