"""What can go wrong with a rollout."""

from __future__ import annotations

from artifacts.errors import EvctlError


class NothingToRollBack(EvctlError):
    code = "E4001"
    exit_code = 2
    explanation = "No rollout has changed these nodes, so there is nothing to go back to."


class UnknownRollout(EvctlError):
    code = "E4002"
    exit_code = 2
    explanation = "There is no rollout with this id. `evctl rollouts` lists them."


class NodesLocked(EvctlError):
    code = "E4003"
    exit_code = 8
    explanation = (
        "Another rollout is at work on some of these nodes. Two may never change the same node. "
        "The lock of one whose driver died expires within a minute."
    )


class DocumentChanged(EvctlError):
    code = "E4004"
    exit_code = 8
    explanation = "Someone else changed the rollout's document, or its log isn't what it was."


class NodesSilent(EvctlError):
    code = "E4005"
    exit_code = 7
    explanation = (
        "Nodes of the range don't answer. A node that doesn't answer is unknown, never fine, so "
        "nothing was started. Bring it back, or leave it out of the range: it converges by itself "
        "when it returns."
    )


class WrongWaves(EvctlError):
    code = "E4007"
    exit_code = 2
    explanation = (
        "`--waves 1,25%,100%` says how many of each role's nodes have changed after each wave, as "
        "counts or as percentages, canaries included. Each must be more than the one before it; "
        "what is left after the last one follows by itself."
    )


class RolledBack(EvctlError):
    code = "E4101"
    exit_code = 5
    explanation = (
        "The rollout failed and was rolled back: every node that had changed serves what it "
        "served before. The evidence is in its document: `evctl rollouts R…`."
    )


class NotRolledBack(EvctlError):
    code = "E4102"
    exit_code = 6
    explanation = (
        "The rollout failed, and on some node going back failed too. `evctl status` says what each "
        "node serves; what serves there is unharmed unless it says otherwise."
    )


class Partial(EvctlError):
    code = "E4103"
    exit_code = 7
    explanation = (
        "Some node stopped answering in the middle. What it should run is written down, and it "
        "becomes that by itself when it returns."
    )
