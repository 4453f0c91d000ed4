"""What an operator may tell a rollout, and the moves from state to state: pure functions.

Each takes the document as it is and answers the document as it should be; what doesn't fit its
state is refused with WrongState, before anything changes.
"""

from __future__ import annotations

from dataclasses import replace

from cli.rollout.decide import Turn, turn
from cli.rollout.document import FINAL, Document, State
from cli.rollout.errors import WrongState

# Every move there is: from, to, why. docs/rollouts.md shows them; the simulation makes no other.
MOVES: tuple[tuple[State, State, str], ...] = (
    ("running", "converged", "every node has passed its gate"),
    ("running", "partial", "done; some node fell silent or failed, within the limits"),
    ("running", "failed", "done; some node could neither come along nor go back"),
    ("running", "paused", "pause; a gate, a window or a floor holds it"),
    ("running", "rolling_back", "more nodes failed, or fell silent, than may"),
    ("running", "aborting", "abort"),
    ("paused", "running", "resume"),
    ("paused", "aborting", "abort"),
    ("rolling_back", "rolled_back", "every node that changed is back"),
    ("rolling_back", "partial", "some node is silent; it goes back when it returns"),
    ("rolling_back", "failed", "some node could not go back"),
    ("aborting", "aborted", "every node that changed is back"),
    ("aborting", "partial", "some node is silent; it goes back when it returns"),
    ("aborting", "failed", "some node could not go back"),
)


def pause(document: Document, by: str) -> Document:
    """Nothing further is asked of its nodes; what was asked is still waited for."""
    if document.state != "running":
        raise _wrong(document, "paused", "only what is running can be")
    return turn(document, Turn("paused", f"by {by}"))


def resume(document: Document, *, in_closed_window: bool = False) -> Document:
    """It goes on where it stopped, whether it was paused or its driver has died. After a pause
    nodes that fell silent, or could not go back, are asked again: they may be well by now."""
    if document.state in FINAL:
        raise _wrong(document, "resumed", "it has ended")
    if document.state != "paused":
        return document
    if in_closed_window:
        document = replace(document, in_closed_window=True)
    for node in document.in_state("silent", "stuck"):
        document = _asked_again(document, node)
    return turn(document, Turn("running"))


def _asked_again(document: Document, node: str) -> Document:
    record = document.nodes[node]
    if record.revert is not None:
        return document.with_node(node, state="unhealthy", revert=None)
    return document.with_node(node, state="planned" if record.swap is None else "swapping")


def abort(document: Document, by: str) -> Document:
    """Every node that has changed goes back to what it served before."""
    if document.kind == "rollback":
        raise _wrong(document, "aborted", "a rollback goes on to its end: it is the way back")
    if not document.may_abort():
        raise _wrong(document, "aborted", "only what runs or is paused can be")
    return turn(document, Turn("aborting", f"by {by}"))


def to_retry(document: Document) -> list[str]:
    """The nodes of an ended rollout that didn't come along."""
    if document.state not in FINAL:
        raise _wrong(document, "retried", "it has not ended", f"evctl rollout watch {document.id}")
    left = [node for node, record in document.nodes.items() if record.state != "healthy"]
    if not left:
        raise _wrong(document, "retried", "every node came along", "evctl status")
    return left


def _wrong(document: Document, what: str, why: str, next_step: str = "") -> WrongState:
    return WrongState(
        f"{document.id} can't be {what}",
        why=f"it is {document.state}; {why}",
        next_step=next_step or f"evctl rollouts {document.id}",
    )
