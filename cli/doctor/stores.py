"""The registry, its releases and signatures; the documents, the rollouts and locks in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from artifacts.errors import EvctlError
from artifacts.objects import open_objects
from artifacts.orders import read
from artifacts.registry import DigestMismatch, Registry
from cli.doctor.check import Check, doubtful, fine, of_error, wrong
from cli.fleet import Fleet
from cli.fleet_view import FleetView
from cli.history.log import History
from cli.history.verify import verify
from cli.numbers import number_of
from cli.orders import orders_of, trusted_orders
from cli.rollout.document import FINAL
from cli.rollout.documents import Documents

NOT_TRUSTED = 4
LOCKED = 8
ROLLOUTS_MAX = 50  # the last ones; older ones have ended long ago


def check_registry(registry: Registry, view: FleetView) -> Iterator[Check]:
    """registry: without a cache, so that what lies there now is what is judged."""
    try:
        releases = registry.releases()
    except EvctlError as error:
        yield of_error("registry", error)
        return
    bad = list(_faults(releases, lambda release: _check_release(registry, release)))
    yield from bad
    if not releases:
        yield doubtful("registry", "no release is published", "evctl release --channel stable")
    else:
        good = len(releases) - len(bad)
        yield fine("registry", f"{good} of {len(releases)} releases are whole and signed")
    yield from _check_channels(registry, view)


def _check_release(registry: Registry, release: str) -> None:
    manifest = registry.manifest(release)
    if (size := registry.tarball_bytes(release)) != manifest.tarball_bytes:
        raise DigestMismatch(
            "its tarball was cut, or isn't its own",
            why=f"{size} of {manifest.tarball_bytes} bytes",
            next_step="publish the release again under another version",
        )


def _check_channels(registry: Registry, view: FleetView) -> Iterator[Check]:
    followed = {node.channel for node in view.nodes.values() if node.role}
    for name in sorted(followed | set(registry.channels())):
        try:
            roles = registry.channel(name)
        except EvctlError as error:
            yield of_error(f"channel {name}", error)
            continue
        gone = sorted(set(roles.values()) - set(view.releases))
        without = sorted(
            {
                node.role
                for node in view.nodes.values()
                if node.channel == name and node.role and node.role not in roles
            }
        )
        if gone:
            yield wrong(
                f"channel {name}",
                f"names what isn't published: {', '.join(gone)}",
                f"evctl release --channel {name}",
            )
        elif without:
            yield doubtful(
                f"channel {name}",
                f"names no release for {', '.join(without)}: new nodes wait",
                f"evctl release --channel {name}",
            )
        else:
            yield fine(f"channel {name}", f"{number_of(len(roles), 'role')}, signed")


def check_documents(documents: Documents, view: FleetView, now: float) -> Iterator[Check]:
    if trouble := view.troubles.get("documents"):
        yield of_error("documents", trouble)
        return
    last = view.rollouts[-ROLLOUTS_MAX:]
    bad = list(_faults(last, documents.load))
    yield from bad
    yield fine("documents", f"{len(last) - len(bad)} of the last {len(last)} rollouts are whole")
    yield from _check_left_open(documents, last, view.holders)
    yield from _check_locks(documents, now)
    yield from _check_desired(view)


def check_orders(fleet: Fleet, view: FleetView) -> Iterator[Check]:
    """What lies in the registry for nodes that can't hear their master, against what they should
    run now."""
    if view.troubles.keys() & {"registry", "documents"}:
        return  # said above
    try:
        trusted = trusted_orders(fleet)
        if trusted is None:
            yield doubtful(
                "orders",
                "none are published: nodes that miss a rollout wait for the master",
                "evctl key new PATH, then `orders_key: PATH` in fleet.yaml",
            )
            return
        objects = open_objects(fleet.config.registry)
        lying = read(objects, trusted["fleet"], trusted["trust"])
        wanted = orders_of(fleet, 0.0)
    except EvctlError as error:
        yield of_error("orders", error)
        return
    if lying is None or lying.nodes != wanted.nodes:
        yield doubtful("orders", "aren't what the nodes should run now", "evctl drift --mend")
    else:
        yield fine("orders", f"published for {number_of(len(lying.nodes), 'node')}")


def check_history(history: History, view: FleetView) -> Check:
    if "documents" in view.troubles:
        return of_error("history", view.troubles["documents"])
    verdict = verify(history, {}, [])
    if verdict.faults:
        return wrong("history", verdict.faults[0], "evctl history verify", NOT_TRUSTED)
    if verdict.unasked:
        return doubtful("history", f"a witness isn't there: {verdict.unasked[0]}", "bring it back")
    return fine("history", f"{number_of(verdict.head.number, 'entry', 'entries')}, whole")


def _check_left_open(
    documents: Documents, rollouts: list[str], holders: Mapping[str, str]
) -> Iterator[Check]:
    for rollout in rollouts:
        try:
            document = documents.load(rollout).document
        except EvctlError:
            continue  # said above
        if document.state == "paused":
            says = f"is paused: {document.note}" if document.note else "is paused"
            yield doubtful(f"rollout {rollout}", says, document.ways_on())
        elif document.state not in FINAL and rollout not in holders.values():
            says = f"is {document.state}, and nobody drives it"
            yield wrong(f"rollout {rollout}", says, document.ways_on(), LOCKED)


def _check_locks(documents: Documents, now: float) -> Iterator[Check]:
    expired = documents.expired_locks(now)
    if expired:
        said = ", ".join(f"{node} ({rollout})" for node, rollout in sorted(expired.items()))
        yield doubtful(
            "locks",
            f"expired: {said}",
            "nothing: they keep nobody out, and whoever comes next takes them",
        )
    else:
        yield fine("locks", "none expired")


def _check_desired(view: FleetView) -> Iterator[Check]:
    if view.desired is None:
        return
    strangers = sorted(view.desired.nodes.keys() - view.nodes.keys())
    if strangers:
        yield doubtful(
            "desired releases",
            f"of nodes that aren't on the map: {', '.join(strangers)}",
            "put them back on the map; or leave it: nobody asks for them",
        )
    wanted = {release for node in view.nodes if (release := view.wanted(node)[0])}
    gone = sorted(wanted - set(view.releases))
    if gone and "registry" not in view.troubles:
        yield wrong(
            "desired releases",
            f"not in the registry: {', '.join(gone)}",
            "evctl rollout to one that is; evctl releases lists them",
        )


def _faults(names: list[str], look: Callable[[str], object]) -> Iterator[Check]:
    for name in names:
        try:
            look(name)
        except EvctlError as error:
            yield of_error(name, error)
