"""The driver of real machines: Debian nodes with a systemd of their own, in systemd-nspawn.

`python -m cli.lab.nspawn` makes their base image beforehand, where there can be such machines.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from pathlib import Path

from cli.lab import image, minion, namespaces, traces
from cli.lab.image import Progress
from cli.lab.launch import launch
from cli.lab.spec import Lab, NodeSpec

NEEDED = ("systemd-nspawn", "mmdebstrap", "ip", "mount", "umount", "nsenter")
# A shell joins the control groups named first, then becomes the command that follows.
JOIN_GROUPS = 'for group in $1; do echo $$ > $group/cgroup.procs; done; shift; exec "$@"'
PACKAGES = "systemd-container mmdebstrap iproute2"


def obstacle() -> str | None:
    """Why real machines can't run here, in words; None when they can."""
    if os.geteuid() != 0:
        return "not root"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (apt-get install {PACKAGES})"
    return _refused_network() or _refused_overlay()


def _refused_network() -> str | None:
    probe = f"evprobe-{os.getpid()}"
    made = _try(("ip", "netns", "add", probe))
    if made is None:
        return _try(("ip", "netns", "delete", probe))
    return f"network namespaces are refused: {made}"


def _refused_overlay() -> str | None:
    probe = ("unshare", "-m", "sh", "-c")
    script = (
        "d=$(mktemp -d) && mount -t tmpfs tmpfs $d && mkdir $d/l $d/u $d/w $d/m && "
        "mount -t overlay overlay -o lowerdir=$d/l,upperdir=$d/u,workdir=$d/w $d/m; "
        "r=$?; umount -R $d; rmdir $d; exit $r"
    )
    refused = _try((*probe, script))
    return f"overlay mounts are refused: {refused}" if refused else None


def _try(command: tuple[str, ...]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return None if done.returncode == 0 else (done.stderr.strip() or f"exit {done.returncode}")


class Nspawn:
    """Implements operate.Driver."""

    def prepare(self, lab: Lab, progress: Progress) -> None:
        image.base_image(progress)
        if not namespaces.exists(lab.network):
            namespaces.run(namespaces.create_network(lab))

    def place(self, lab: Lab, node: NodeSpec, token: str) -> None:
        root = lab.node_root(node.id)
        for part in ("upper", "work", "merged"):
            (root / part).mkdir(parents=True, exist_ok=True)
        for path, text in _first_files(lab, node, token).items():
            file = root / "upper" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def power_on(self, lab: Lab, node: NodeSpec) -> None:
        root = lab.node_root(node.id)
        if root / "merged" not in traces.mounts(lab):
            lower = image.base_image(_silent)
            namespaces.run([_mount_overlay(lower, root)])
        network = lab.node_network(node.id)
        if not namespaces.exists(network):
            namespaces.run(namespaces.create_node_network(lab, node))
        groups = control_groups(lab, node)
        for group in groups:
            group.mkdir(exist_ok=True)
        within = (*("sh", "-c", JOIN_GROUPS, "sh"), " ".join(map(str, groups)))
        launch(lab, (*within, *machine(lab, node)), log=root / "console.log")

    def running(self, lab: Lab, node: NodeSpec) -> bool:
        return traces.machine_init(lab, node.id) is not None

    def power_off(self, lab: Lab, node: NodeSpec) -> None:
        traces.kill(lab, (f"machine:{node.id}", f"node:{node.id}"))

    def inside(self, lab: Lab, node: NodeSpec, command: tuple[str, ...]) -> tuple[str, ...]:
        init = traces.machine_init(lab, node.id)
        return ("nsenter", "-t", str(init), "-m", "-u", "-i", "-n", "-p", "--", *command)

    def remove(self, lab: Lab) -> None:
        namespaces.run([("umount", str(path)) for path in traces.mounts(lab)])
        namespaces.run(namespaces.delete(namespaces.networks_of(lab)))
        traces.remove_control_groups(f"{lab.network}-*")

    def forget(self, lab: Lab, node: NodeSpec) -> None:
        root, network = lab.node_root(node.id), lab.node_network(node.id)
        namespaces.run([("umount", str(p)) for p in traces.mounts(lab) if p.is_relative_to(root)])
        namespaces.run(namespaces.delete([network] if namespaces.exists(network) else []))
        traces.remove_control_groups(network)


def control_groups(lab: Lab, node: NodeSpec) -> list[Path]:
    """A node's own control groups. Without them every node's systemd would manage the same ones,
    and stopping a unit on one would reach its namesakes on all."""
    return [hierarchy / lab.node_network(node.id) for hierarchy in traces.hierarchies()]


def machine(lab: Lab, node: NodeSpec) -> tuple[str, ...]:
    """The command line of one node."""
    return (
        *("systemd-nspawn", "--register=no", "--keep-unit", "-b", "-q"),
        *("-M", lab.node_network(node.id), f"--hostname={node.id}"),
        *("-D", str(lab.node_root(node.id) / "merged")),
        f"--network-namespace-path={namespaces.NETNS / lab.node_network(node.id)}",
        f"--bind-ro={lab.registry.parent}:/srv/evctl",
        f"--bind={lab.data}:/srv/eventstore",
        *("--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=pipe"),
    )


def _first_files(lab: Lab, node: NodeSpec, token: str) -> dict[str, str]:
    return {
        "etc/hostname": f"{node.id}\n",
        "etc/machine-id": f"{uuid.uuid4().hex}\n",
        "etc/hosts": f"127.0.0.1 localhost\n{node.address} {node.id}\n{lab.master_address} salt\n",
        "etc/salt/minion": minion.config(lab, node, token),
    }


def _mount_overlay(lower: Path, root: Path) -> tuple[str, ...]:
    layers = f"lowerdir={lower},upperdir={root / 'upper'},workdir={root / 'work'}"
    return ("mount", "-t", "overlay", "evctl-lab", "-o", layers, str(root / "merged"))


def _silent(_: str) -> None:
    """The image is there already: nothing to say."""


if __name__ == "__main__" and obstacle() is None:
    image.base_image(print)
