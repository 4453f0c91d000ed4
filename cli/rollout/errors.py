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
        "What a driver that died was at work on stays its rollout's: after a minute "
        "`evctl rollout resume R…` goes on with it, `evctl rollout abort R…` takes it back."
    )


class NodesHeld(EvctlError):
    code = "E4015"
    exit_code = 8
    explanation = (
        "An operator has locked some of these nodes with `evctl lock`, and said why. No rollout "
        "and no rollback begins on them until `evctl unlock`."
    )


class NobodyDrives(EvctlError):
    code = "E4016"
    exit_code = 7
    explanation = (
        "The rollout has not ended, and no driver is at work on it: the one that was has died, or "
        "its machine has. Nodes serve what they serve."
    )


class LeftUndriven(EvctlError):
    code = "E4017"
    exit_code = 130
    explanation = (
        "The command was stopped, with Ctrl-C or by being terminated. Its rollout is kept, and has "
        "not ended: nodes serve what they serve, and stay the rollout's, until someone goes on "
        "with it or takes it back."
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


class FloorNotKept(EvctlError):
    code = "E4008"
    exit_code = 2
    explanation = (
        "So many nodes of a role must always serve (`--floor`, or `serving_min` in evctl.yaml; "
        "half of them, when neither says more), and the fleet hasn't more than that. A node "
        "that swaps counts as out of service, although two generations of it overlap."
    )


class WindowClosed(EvctlError):
    code = "E4009"
    exit_code = 4
    explanation = (
        "The release's evctl.yaml has windows in which it isn't rolled out (`closed`). A rollback "
        "is always allowed. `--in-closed-window` overrides it, and is kept with the rollout."
    )


class StalePlan(EvctlError):
    code = "E4010"
    exit_code = 8
    explanation = (
        "What would be done now isn't what was planned: nodes, releases or options have changed. "
        "Look at the new plan, and name its digest."
    )


class WrongState(EvctlError):
    code = "E4011"
    exit_code = 2
    explanation = (
        "A rollout can't be told that in the state it is in: what has ended can't be paused, "
        "resumed or aborted, and what is under way can't be retried. docs/rollouts.md has the "
        "states. Nothing was changed."
    )


class SchemasClash(EvctlError):
    code = "E4012"
    exit_code = 2
    explanation = (
        "Roles say in evctl.yaml which schema versions they read and write. Readers are rolled out "
        "before writers; here some node would be left that can't read what others would write."
    )


class OneWayChange(EvctlError):
    code = "E4013"
    exit_code = 2
    explanation = (
        "The release that nodes would go to can't read what is written now. That is usual for a "
        "rollback past a change of the schema: what was written since would stay unread. "
        "`--past-one-way` does it all the same."
    )


class NoSuchGate(EvctlError):
    code = "E4014"
    exit_code = 2
    explanation = (
        "`--gate NAME` is one of the `gates` that the release's evctl.yaml has under a role, "
        "`probe` where it names one, or `none`. Without it a rollout has all of them."
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
        "Some node does not answer, or has failed within the limits that were given; the others "
        "are done. What each should run is written down: one that was silent becomes that by "
        "itself when it returns, and `evctl rollout retry R…` asks again."
    )


class Aborted(EvctlError):
    code = "E4104"
    exit_code = 5
    explanation = "Someone aborted the rollout, and every node serves what it served before."


class Paused(EvctlError):
    code = "E4105"
    exit_code = 9
    explanation = (
        "The rollout waits: someone paused it, a gate holds it, its window has closed, or going on "
        "would break a capacity floor. Nodes serve what they serve. `evctl rollout resume R…` "
        "goes on, `evctl rollout abort R…` takes it back. Where no traffic comes to judge by, "
        "`--gate probe` or `--gate none` is for the next one."
    )
