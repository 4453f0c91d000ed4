"""A fleet that runs an app of which the toolkit knows nothing but its evctl.yaml."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from cli.lab.spec import REPOSITORY, Lab
from demo.evctl import Done, Evctl
from demo.probe import answers

FOREIGN = REPOSITORY / "tests/foreign"
PORT = 8090
GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@localhost")


@dataclass
class Fleet:
    """Two nodes of the role `web`, and the repository of its app."""

    lab: Lab
    evctl: Evctl

    def release(self, version: str, *arguments: str) -> str:
        file = self.evctl.folder / "evctl.yaml"
        lines = file.read_text().splitlines(keepends=True)
        changed = [f"version: {version}\n" if li.startswith("version:") else li for li in lines]
        file.write_text("".join(changed))
        git(self.evctl.folder, "commit", "-qam", version, "--allow-empty")
        release: str = self.evctl("release", *arguments).result["release"]
        return release

    def serving(self) -> dict[str, str]:
        nodes = self.evctl("status").result["nodes"]
        assert all(answers(node.address, PORT) for node in self.lab.nodes)
        return {node: said["release"] for node, said in nodes.items()}

    def refused(self, *arguments: str, exit_code: int, code: str) -> dict[str, str]:
        """Run what must fail; its error."""
        done: Done = self.evctl(*arguments, expect=exit_code)
        error = next(line["error"] for line in done.lines if set(line) == {"error"})
        assert error["code"] == code, error
        assert error["what"]
        assert error["next"]
        return dict(error)

    def roll_out(self, release: str, expression: str = "role:web") -> tuple[str, ...]:
        return ("rollout", "--range", expression, "--to", release, "--yes")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run((*GIT, "-C", str(folder), *arguments), check=True, timeout=60)
