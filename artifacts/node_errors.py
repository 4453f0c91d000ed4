"""What can go wrong on a node (E1xxx). In each case the serving generation is left as it was.

NodeError
├── NodeSettingsError     E1001  node.yaml can't be used
├── NodeHasNoRole         E1002  the node was not yet assigned a role
├── NodeBusy              E1003  another change of this node is under way
├── UnknownFunction       E1004  artifacts.node was asked for what it hasn't
├── BadReleaseId          E1005  not a release id
├── DiskFull              E1101  no room for a release
├── NodeFileError         E1102  the operating system refused a file operation
├── InterpreterMissing    E1103  the Python that the release asks for isn't here
├── InstallFailed         E1104  its wheels could not be installed
├── ImportCheckFailed     E1105  its module can't be imported
├── NotUnpacked           E1201  the release isn't on this node
├── RoleNotInRelease      E1202  the release has nothing to run for this role
├── NoLastGood            E1203  nothing to roll back to
├── ToolNotOffered        E1204  the release has no such tool for this role
├── NothingToStandOn      E1205  what serves can't be mended: nothing can stand in for it
├── GenerationFailed      E1301  the new generation died, or never said READY
├── NotReady              E1302  it said READY, but /readyz never answered 200
├── WrongVersion          E1303  /version doesn't answer with what was started
├── ServicesUnavailable   E1304  systemd or the supervisor can't be used
├── CurrentNotReady       E1305  what serves already isn't ready; nothing was changed
└── ToolStopped           E1401  a tool took too long, or said too much
"""

from __future__ import annotations

from collections.abc import Sequence

from artifacts.errors import EvctlError


class NodeError(EvctlError):
    """Any failure on a node."""

    code = "E1000"
    exit_code = 6
    explanation = "Something failed on a node. The serving generation was left as it was."


class NodeSettingsError(NodeError):
    code = "E1001"
    exit_code = 2
    explanation = (
        "A node's settings (<root>/etc/evctl/node.yaml, or a role's file for the supervisor) are "
        "missing, aren't YAML, or hold a key or a value that isn't known. Salt renders these files "
        "from pillar: mend the pillar and apply the state again."
    )


class NodeHasNoRole(NodeError):
    code = "E1002"
    exit_code = 2
    explanation = (
        "The node knows its master, but the master's map of nodes gives it no role yet. "
        "Assign one in nodes.yaml; the node's next highstate brings it in."
    )


class NodeBusy(NodeError):
    code = "E1003"
    exit_code = 8
    explanation = (
        "One change at a time: another prefetch, swap, rollback or prune holds this node's lock. "
        "The lock goes with the process that holds it, so nothing needs to be cleaned up."
    )


class UnknownFunction(NodeError):
    code = "E1004"
    exit_code = 1
    explanation = (
        "The caller asked the node for a function that its toolkit doesn't have, or with arguments "
        "that don't fit: usually the toolkit on the node is older than the one on the master."
    )


class BadReleaseId(NodeError):
    code = "E1005"
    exit_code = 2
    explanation = "A release id is <version>-<first 12 hex digits of its tarball's sha256>."


class DiskFull(NodeError):
    code = "E1101"
    explanation = (
        "A release needs room for its tarball, its unpacked tree and its virtual environment. The "
        "node checks before it fetches, and cleans up when it runs out midway. `evctl` prunes "
        "old releases, except the current, the last good and pinned ones."
    )


class NodeFileError(NodeError):
    code = "E1102"
    explanation = "The operating system refused to read or write a file on the node."


class InterpreterMissing(NodeError):
    code = "E1103"
    explanation = (
        "A release runs on the Python version that its evctl.yaml names. The node looks for "
        "/usr/bin/python<version>, then in its PATH; node.yaml's `python` names another one."
    )


class InstallFailed(NodeError):
    code = "E1104"
    explanation = (
        "The release's wheels were installed offline and by hash into a new virtual environment, "
        "and that failed: a wheel is missing from the release, has another hash than its lock "
        "says, or doesn't fit this machine. Build the release on the platform that it runs on."
    )


class ImportCheckFailed(NodeError):
    code = "E1105"
    explanation = (
        "Before a release may be activated, the node imports the module of each role that runs as "
        "`python -m module`, in the release's own environment. This one couldn't be imported."
    )


class NotUnpacked(NodeError):
    code = "E1201"
    explanation = (
        "Only a release that was prefetched (fetched, verified, installed) can be activated."
    )


class RoleNotInRelease(NodeError):
    code = "E1202"
    exit_code = 2
    explanation = "The release's evctl.yaml describes no role of this name."


class NoLastGood(NodeError):
    code = "E1203"
    explanation = (
        "A rollback goes to the release that served before the current one. This node has served "
        "from one release only, or the one before is no longer unpacked."
    )


class ToolNotOffered(NodeError):
    code = "E1204"
    exit_code = 2
    explanation = (
        "A role's tools are those that evctl.yaml names in the release that the node serves from; "
        "another release may have others."
    )


class NothingToStandOn(NodeError):
    code = "E1205"
    explanation = (
        "What serves was changed by hand, and is mended by installing it anew; meanwhile the last "
        "good release serves. There is none here. A rollout to another release mends it as well."
    )


class GenerationFailed(NodeError):
    """`evidence`: the last lines that the generation logged, oldest first."""

    code = "E1301"
    exit_code = 5
    explanation = (
        "The new generation's process ended before it said READY=1, or didn't say it within "
        "ready_s. It was stopped; the old generation serves on."
    )

    def __init__(
        self, what: str, *, why: str = "", evidence: Sequence[str] = (), where: str = ""
    ) -> None:
        self.evidence = tuple(evidence)
        said = (
            "its last words: " + " | ".join(self.evidence) if self.evidence else "it logged nothing"
        )
        super().__init__(
            what,
            why=f"{why}; {said}" if why else said,
            next_step="mend the release and publish another; what served before still serves",
            where=where,
        )


class NotReady(GenerationFailed):
    code = "E1302"
    explanation = (
        "The new generation said READY=1, but GET /readyz through its own admin socket did not "
        "answer 200 within ready_s. It was stopped; the old generation serves on."
    )


class WrongVersion(GenerationFailed):
    code = "E1303"
    explanation = (
        "GET /version through the new generation's own admin socket must answer with the release, "
        "the role and the node that were started. It didn't. It was stopped; the old generation "
        "serves on."
    )


class ServicesUnavailable(NodeError):
    code = "E1304"
    explanation = (
        "What starts and stops generations on this node (systemd, or the supervisor) didn't answer "
        "or refused. Generations that run already go on."
    )


class CurrentNotReady(NodeError):
    code = "E1305"
    explanation = (
        "The node runs the wanted release already, so there was nothing to swap; but its "
        "generation doesn't answer 200 on /readyz. It was left running: what it lacks may come "
        "back."
    )


class ToolStopped(NodeError):
    code = "E1401"
    exit_code = 1
    explanation = (
        "A tool that is run through evctl has a minute, and its output a bound, since it travels "
        "through Salt. This one was killed. Generations aren't touched by tools."
    )
