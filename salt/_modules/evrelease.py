"""Releases on this node. Thin: `artifacts` of the node's own toolkit does the work.

Each function returns {"ok": True, "result": …, "status": …} or {"ok": False, "error": …, …}.
"""

import sys
from pathlib import Path

TOOLKIT = "opt/evctl/toolkit"
SETTINGS = "etc/evctl/node.yaml"


def status():
    """What the node says of itself: the release that its own generation answers with."""
    return _run("status")


def examine():
    """What it says of itself, the versions of what runs here, and what is wrong with its pillar."""
    said = _run("examine")
    if said["ok"]:
        pillar = __salt__["pillar.items"](unmask=True)
        problems = [*pillar.get("_errors", []), pillar.get("evctl", {}).get("problem")]
        said["result"]["salt"] = __grains__["saltversion"]
        said["result"]["pillar"] = [str(problem) for problem in problems if problem]
    return said


def metrics():
    """What each generation counts and measures: release → its page in Prometheus' format."""
    return _run("metrics")


def desired():
    """How many nodes there should be of each role, by the generations that say so."""
    return _run("desired")


def prefetch(release):
    """Fetch, verify and install a release, without starting it."""
    return _run("prefetch", release=release)


def activate(release):
    """Swap to a release that is here already."""
    return _run("activate", release=release)


def rollback():
    """Swap to the last good release, without the registry."""
    return _run("rollback")


def retire():
    """Drain and serve no more: the node is about to go. Take it off the map first."""
    return _run("retire")


def prune(pinned=()):
    """Remove releases that nothing needs: not these, nor those that the master says are spoken
    for, asked anew. Nothing at all, when it can't say."""

    def all_pinned():
        spoken_for = _told().get("pinned")
        return None if spoken_for is None else [*pinned, *spoken_for]

    return _run("prune", pinned=all_pinned)


def tool(name, arguments):
    """Run a tool that the current release offers for this node's role."""
    return _run("tool", name=name, arguments=arguments)


def matches(compound):
    """Whether this node is one that Salt's compound matcher names."""
    return {"ok": True, "result": {"matches": __salt__["match.compound"](compound)}, "status": None}


def drift():
    """What was changed here by hand: of what serves, and of what the states have written."""
    would = __salt__["state.apply"](test=True)
    if not isinstance(would, dict):
        return _not_applied(would)
    said = _run("drift")
    if said["ok"]:
        said["result"]["states"] = [
            f"{one.get('name') or name}: {' '.join(one['comment'].split())}"
            for name, one in would.items()
            if one["result"] is not True and not name.startswith("evrelease_")
        ]
    return said


def mend():
    """Put right what `drift` finds: the states first, since they bring the toolkit."""
    done = __salt__["state.apply"]()
    if not isinstance(done, dict):
        return _not_applied(done)
    return _run("mend")


def _not_applied(why):
    """Salt answers with a list when another run is under way, or the states don't render."""
    what = {"code": "E1003", "what": "the states can't be run now", "why": " ".join(map(str, why))}
    return {"ok": False, "error": what, "status": None}


def converge(release=None):
    """Become what the master wants now: the pillar's release, asked for anew, unless one is named.

    A node that has never had a release gets its whole role first.
    """
    if not _has_its_role():
        if not (release or _wanted()):
            return {"ok": True, "result": {"unchanged": True, "release": None}, "status": None}
        __salt__["state.apply"]()
        return status()
    return _run("converge", release=release or _wanted)


def _has_its_role():
    """All but a release; the role's settings come last."""
    role = __pillar__.get("evctl", {}).get("role")
    return (_root() / f"etc/evctl/{role}.yaml").exists()


def _wanted():
    """Nothing, as long as a rollout is at work on this node. The word is kept either way."""
    evctl = _told()
    if "at" in evctl and (_root() / SETTINGS).exists():
        _run("hear", at=evctl["at"], release=evctl.get("release"))
    return None if evctl.get("rollout") else evctl.get("release")


def _told():
    """Compiled by the master now: `pillar.get` and `pillar.item` answer from memory."""
    return __salt__["pillar.items"](unmask=True).get("evctl", {})


def _root():
    return Path(__pillar__.get("evctl", {}).get("root", "/"))


def _run(function, **kwargs):
    toolkit = str(_root() / TOOLKIT)
    if sys.path[0] != toolkit:
        sys.path.insert(0, toolkit)
    from artifacts import node

    return node.run(function, str(_root() / SETTINGS), **kwargs)
