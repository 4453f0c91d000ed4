"""The driver without privileges: minions and supervisors on loopback addresses, each node's
files below a folder of its own. No systemd, no namespaces; the same Salt, the same contract."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from pathlib import Path

from cli.lab import minion, traces
from cli.lab.image import Progress
from cli.lab.launch import launch
from cli.lab.spec import REPOSITORY, Lab, NodeSpec


class Process:
    """Implements operate.Driver."""

    def prepare(self, lab: Lab, progress: Progress) -> None:
        """Loopback addresses need no network of their own."""

    def place(self, lab: Lab, node: NodeSpec, token: str) -> None:
        root = lab.node_root(node.id)
        for folder in (root / "etc/salt", root / "run", root / "var/log/salt"):
            folder.mkdir(parents=True, exist_ok=True)
        user = pwd.getpwuid(os.getuid()).pw_name
        settings = root / "etc/salt/minion"
        settings.write_text(minion.config_below(lab, node, token, root, user))
        settings.chmod(0o600)

    def power_on(self, lab: Lab, node: NodeSpec) -> None:
        root = lab.node_root(node.id)
        sockets = lab.run / node.id
        (sockets / "s").mkdir(parents=True, exist_ok=True, mode=0o700)
        launch(
            lab,
            (
                sys.executable,
                "-m",
                "artifacts.supervisor",
                "--root",
                str(root),
                "--run",
                str(sockets),
            ),
            log=root / "var/log/supervisor",
            env={"PYTHONPATH": str(REPOSITORY)},
        )
        launch(
            lab,
            (str(Path(sys.executable).with_name("salt-minion")), "-c", str(root / "etc/salt")),
            log=root / "var/log/salt/start",
        )

    def running(self, lab: Lab, node: NodeSpec) -> bool:
        return bool(traces.of_part(lab, f"node:{node.id}"))

    def power_off(self, lab: Lab, node: NodeSpec) -> None:
        traces.kill(lab, (f"node:{node.id}",))

    def inside(self, lab: Lab, node: NodeSpec, command: tuple[str, ...]) -> tuple[str, ...]:
        return ("env", f"--chdir={lab.node_root(node.id)}", *command)

    def remove(self, lab: Lab) -> None:
        """Processes and folders are all there is."""

    def forget(self, lab: Lab, node: NodeSpec) -> None:
        sockets = lab.run / node.id
        if sockets.exists():
            shutil.rmtree(sockets)
