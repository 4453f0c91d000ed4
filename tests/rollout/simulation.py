"""A world to try rollouts in: nodes, drivers and operators that do anything, from one seed.

What decides is the real code: plan, decide, control. What is simulated is the driver's way through
`drive.py` (lock, begin, want, ask, observe), nodes, and time. After every step the world compares
what was done with its own books, and never with the document's; `Broken` names the seed.

A driver isn't suspended between taking its lock and asking the nodes: these are milliseconds, and
the lock's lease is a minute.
"""

from __future__ import annotations

from random import Random

from cli.rollout import control, decide, plan
from cli.rollout.decide import Answer, Command
from cli.rollout.document import BACK, FINAL, Document, Limits, NodeRecord, NodeState
from cli.rollout.errors import WrongState

OLD, NEW, CHANNEL = "1-old", "2-new", "0-channel"
LEASE_S = 60.0
STEPS_MAX = 40
CALM_STEPS_MAX = 200
MOVES = {(before, after) for before, after, _ in control.MOVES}

OK = Answer(ok=True, result={})
PROVEN = Answer(ok=True, result={}, proven=True)
NO = Answer(ok=False, error={"what": "no"})
SILENT = Answer(ok=False, silent=True, error={"what": "no answer"})
HELD = Answer(ok=False, held="too little traffic")
FRESH: tuple[NodeState, ...] = ("planned", "planned", "prefetched")  # some have the release already


class Broken(AssertionError):
    """An invariant didn't hold. `simulate(seed)` shows it again."""


class Node:
    """away: it did not answer when the rollout was planned."""

    __slots__ = ("away", "before", "off", "role", "served", "serves", "sick")

    def __init__(self, role: str, before: str | None, away: bool) -> None:
        self.role, self.before, self.serves = role, before, before
        self.off = self.away = away
        self.served = before is not None and not away
        self.sick = False


class Driver:
    """at: what it does next: take, decide, ask, observe; or it is dead."""

    __slots__ = ("answers", "at", "command", "name", "seen")

    def __init__(self, name: str) -> None:
        self.name, self.at = name, "take"
        self.seen: Document | None = None
        self.command: Command | None = None
        self.answers: dict[str, Answer] = {}


class World:
    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.faults = random.choice((0.0, 0.0, 0.05, 0.3))
        self.chaos = random.choice((0.0, 0.1, 0.4))
        roles = [random.choice("ab") for _ in range(random.randint(1, 6))]
        self.nodes = {
            f"{role}{n}": Node(
                role, None if random.random() < 0.05 else OLD, random.random() < 0.05
            )
            for n, role in enumerate(roles)
        }
        self.kind = "rollback" if random.random() < 0.2 else "rollout"
        away = {id_: "silent" for id_, node in self.nodes.items() if node.away}
        self.limits = Limits(
            max_fail=random.choice((0, 0, 1, 2)),
            max_unreachable=max(len(away), random.choice((0, 0, 1, 2))),
        )
        self.bakes = random.random() < 0.7
        self.floors = self._plan_floors()
        self.document = self._document()
        self.driver = Driver("d0")
        self.other: Driver | None = None
        self.born = 1
        self.holder, self.expires_at, self.now = "", 0.0, 1000.0
        self.desired: dict[str, str | None] = {}
        # The world's own books.
        self.out: set[str] = set()
        self.passed: set[str] = set()
        self.refused: set[str] = set()
        self.begun: list[str] = []
        self.bad: dict[str, str] = away

    def _plan_floors(self) -> dict[str, int]:
        """Never more than half at once; sometimes more must serve."""
        floors = {}
        for role in "ab":
            serving = sum(n.role == role and n.served for n in self.nodes.values())
            half = max(0, serving - max(1, serving // 2))
            floors[role] = max(half, min(serving - 1, self.random.choice((0, 0, 2, 3))))
        return floors

    def _document(self) -> Document:
        records = {
            id_: NodeRecord(n.role, n.before, NEW, True, "silent", "silent")
            if n.away
            else NodeRecord(n.role, n.before, NEW, state=self.random.choice(FRESH))
            for id_, n in self.nodes.items()
        }
        sizes: dict[str, int] = {}
        for node in self.nodes.values():
            sizes[node.role] = sizes.get(node.role, 0) + 1
        capacity = plan.capacities(sizes, records, self.floors)
        return Document(
            id="R1",
            kind=self.kind,
            operator="",
            reason="",
            range="",
            created_at=0.0,
            nodes=records,
            waves=plan.waves(
                {id_: n.role for id_, n in self.nodes.items()},
                sizes,
                canaries=0 if self.kind == "rollback" else self.random.choice((0, 1, 1, 2)),
                capacity=capacity,
            ),
            limits=self.limits,
            capacity=capacity,
        )

    def run(self) -> str:
        """To its end, through everything and then in peace. The final state."""
        for _ in range(STEPS_MAX):
            if self.document.state in FINAL:
                break
            if self.random.random() < self.chaos:
                self._disturb()
            elif self.driver.at == "dead":
                break
            else:
                self._drive(self.driver)
            self.now += 1
        self._calm_down()
        self._look_at_the_end()
        return self.document.state

    # What anyone may do at any moment.

    def _disturb(self) -> None:
        self.random.choice(_DISTURBANCES)(self)

    def _kill(self) -> None:
        self.driver = self._new_driver()

    def _suspend(self) -> None:
        """The driver sleeps beyond its lease; another one takes over, and then it wakes up."""
        if self.driver.at != "ask":
            self.now += LEASE_S
            self.other, self.driver = self.driver, self._new_driver()

    def _second_driver(self) -> None:
        self.other = self._new_driver()

    def _drive_the_other(self) -> None:
        if self.other:
            self._drive(self.other)

    def _wait(self) -> None:
        """Whoever lives renews its lease meanwhile, as a thread of the driver does."""
        self.now += LEASE_S
        for driver in (self.driver, self.other):
            if driver and driver.name == self.holder and driver.at not in ("take", "dead"):
                self.expires_at = self.now + LEASE_S

    def _new_driver(self) -> Driver:
        self.born += 1
        return Driver(f"d{self.born}")

    def _turn_off_or_on(self) -> None:
        node = self.random.choice(list(self.nodes.values()))
        node.off = not node.off

    def _converge_someone(self) -> None:
        """What a node's own schedule does; it leaves its release to a rollout that is driven."""
        id_ = self.random.choice(list(self.nodes))
        if not self.nodes[id_].off and self.expires_at <= self.now:
            self._converge(id_)

    def _converge(self, id_: str) -> None:
        node = self.nodes[id_]
        wanted = self.desired.get(id_) or (node.before if id_ not in self.desired else None)
        if node.serves != (wanted or CHANNEL):
            node.serves, node.sick = wanted or CHANNEL, False

    def _tell(self, what: str) -> None:
        try:
            if what == "resume":
                self._save(control.resume(self.document))
            else:
                self._save(getattr(control, what)(self.document, "ada"))
        except WrongState:
            return

    # The driver, as in drive.py.

    def _drive(self, driver: Driver) -> None:
        if driver.at == "take":
            self._take(driver)
        elif driver.at == "decide":
            self._decide(driver)
        elif driver.at == "ask":
            self._ask(driver)
        elif driver.at == "observe":
            self._observe(driver)

    def _lock(self, driver: Driver) -> bool:
        if self.holder != driver.name and self.expires_at > self.now:
            driver.at = "dead"
            return False
        self.holder, self.expires_at = driver.name, self.now + LEASE_S
        return True

    def _take(self, driver: Driver) -> None:
        if self._lock(driver):
            self.owner = driver.name
            driver.seen = self.document
            driver.at = "decide"

    def _is_overtaken(self, driver: Driver) -> bool:
        """Another one drives it now; or someone has told it something since it was looked at."""
        if self.owner != driver.name:
            driver.at = "dead"
            return True
        assert driver.seen
        seen, driver.seen = driver.seen, self.document
        return seen is not self.document

    def _decide(self, driver: Driver) -> None:
        assert driver.seen
        step = decide.decide(driver.seen, self.now)
        if isinstance(step, Command):
            if not self._lock(driver) or self._is_overtaken(driver):
                return
            self._may_begin(step)
            if step.action == "swap":
                self.begun += step.releases
            self._save(decide.begin(self.document, step))
            driver.command, driver.at = step, "ask"
            if step.action in ("prefetch", "check"):
                driver.seen = self.document
                return
        elif step.state == driver.seen.state:  # paused, or it has ended
            if self.holder == driver.name:
                self.expires_at = 0.0
            driver.at = "dead"
            return
        elif not self._is_overtaken(driver):
            self._save(decide.turn(self.document, step))
        self._want()
        driver.seen = self.document

    def _ask(self, driver: Driver) -> None:
        command = driver.command
        assert command
        self._is_alone(driver)
        self._may_ask(command)
        driver.answers = {}
        for id_, release in command.releases.items():
            answer = self._do(self.nodes[id_], command.action, release)
            if command.action != "check" or self.document.state == "running":
                driver.answers[id_] = answer
        driver.at = "observe"

    def _observe(self, driver: Driver) -> None:
        if self._is_overtaken(driver) and driver.at == "dead":
            return
        assert driver.command
        for id_, answer in driver.answers.items():
            self._book(id_, driver.command.action, answer)
        self._save(decide.observe(self.document, driver.command, driver.answers))
        self._want()
        driver.seen, driver.at = self.document, "decide"

    def _want(self) -> None:
        self.desired.update(decide.wanted(self.document))

    def _save(self, document: Document) -> None:
        before, after = self.document.state, document.state
        if before != after and (before, after) not in MOVES:
            raise Broken(f"from {before} to {after}")
        self.document = document

    # Nodes.

    def _do(self, node: Node, action: str, release: str) -> Answer:
        if node.off:
            return SILENT
        luck = self.random.random()
        wrong, lost = luck < self.faults / 2, luck > 1 - self.faults / 2
        if action == "check":
            if lost:
                return SILENT
            if luck > 1 - self.faults:
                return HELD
            return OK if node.serves == release and not node.sick and not wrong else NO
        if wrong and not (action == "swap" and luck < self.faults / 4):
            return NO
        if action != "prefetch" and not (lost and self.random.random() < 0.5):
            node.serves, node.sick = release, wrong
        proven = action == "swap" and not self.bakes and node.serves == release and not node.sick
        return SILENT if lost else PROVEN if proven else OK

    # The books, and what must hold.

    def _book(self, id_: str, action: str, answer: Answer) -> None:
        if answer.held:
            return
        if not answer.ok:
            self.bad.setdefault(id_, "silent" if answer.silent else "failed")
        if answer.silent:
            self._out(id_)
        elif action == "check" or answer.proven:
            if answer.ok:
                self.passed.add(id_)
                self.out.discard(id_)
                self.refused.discard(id_)
            elif self.kind == "rollout":
                self.refused.add(id_)
        elif action == "revert" and not answer.ok:
            self._out(id_)
            self.refused.add(id_)
        elif action == "prefetch" and answer.ok:
            self.out.discard(id_)
        elif not answer.ok or action == "revert":
            if action != "swap" or self.begun.count(id_) < 2:
                self.out.discard(id_)
            # A rollback whose node may have swapped at the first time goes on wanting it to.
            if self.kind == "rollout" or self.begun.count(id_) < 2:
                self.refused.add(id_)
                self.passed.discard(id_)
        elif action == "swap":
            self.refused.discard(id_)

    def _out(self, id_: str) -> None:
        if self.nodes[id_].served:
            self.out.add(id_)

    def _is_alone(self, driver: Driver) -> None:
        if self.holder != driver.name or self.expires_at <= self.now:
            raise Broken(f"{driver.name} asks, and {self.holder or 'nobody'} holds the locks")

    def _may_begin(self, command: Command) -> None:
        """As the document is now, which the driver may have seen in another state."""
        back = self.document.state in BACK
        if self.document.state != "running" and not back:
            raise Broken(f"{command.action} although it is {self.document.state}")
        if back and command.action != "revert":
            raise Broken(f"{command.action} although it goes back")

    def _may_ask(self, command: Command) -> None:
        if command.action not in ("swap", "revert"):
            return
        taken = [id_ for id_ in command.releases if id_ not in self.out]
        for role in {self.nodes[id_].role for id_ in taken}:
            self._keeps_its_floor(command, role, [i for i in taken if self.nodes[i].role == role])
        if command.action == "swap":
            for id_ in command.releases:
                self._out(id_)
            if self.kind == "rollout":
                self._is_in_its_turn(command)

    def _keeps_its_floor(self, command: Command, role: str, taken: list[str]) -> None:
        of_role = [id_ for id_, n in self.nodes.items() if n.role == role and n.served]
        left = len([id_ for id_ in of_role if id_ not in self.out and id_ not in taken])
        going_back = command.action == "revert" or self.kind == "rollback"
        if going_back and len(taken) == 1:
            return
        if left < self.floors[role] and any(self.nodes[id_].served for id_ in taken):
            raise Broken(f"{left} of {role} serve, and {self.floors[role]} must")

    def _is_in_its_turn(self, command: Command) -> None:
        for fault, most in (
            ("failed", self.limits.max_fail),
            ("silent", self.limits.max_unreachable),
        ):
            if sum(each == fault for each in self.bad.values()) > most:
                raise Broken(f"goes on, although more than {most} are {fault}")
        first = min(self.document.wave_of(id_) for id_ in command.releases)
        for wave in self.document.waves[: first - 1]:
            for id_ in wave:
                if id_ not in self.passed and id_ not in self.bad:
                    raise Broken(f"swaps wave {first} before {id_} has passed its gate")

    # The end.

    def _calm_down(self) -> None:
        """No more faults, every node is there, and someone resumes it as often as it takes."""
        self.faults = 0.0
        for node in self.nodes.values():
            node.off = node.sick = False
        for _ in range(CALM_STEPS_MAX):
            if self.document.state in FINAL:
                return
            if self.document.state == "paused":
                self._tell("resume")
            if self.driver.at == "dead":
                self.now += LEASE_S
                self.driver = self._new_driver()
            self._drive(self.driver)
        raise Broken(f"no end: {self.document.state}")

    def _look_at_the_end(self) -> None:
        document = self.document
        if document.state == "converged" and self.passed != set(self.nodes):
            raise Broken("converged, although not every node has passed its gate")
        for id_, node in self.nodes.items():
            right = self._right(id_) or CHANNEL
            if document.state in ("failed", "partial") or node.before is None:
                self._converge(id_)  # who was away finds it out by itself; the others are there
            if node.serves != right:
                raise Broken(f"{document.state}: {id_} serves {node.serves} and not {right}")

    def _right(self, id_: str) -> str | None:
        """What a node should serve in the end."""
        if self.document.back:
            return self.nodes[id_].before
        return self.nodes[id_].before if id_ in self.refused else NEW


_DISTURBANCES = (
    World._kill,
    World._suspend,
    World._second_driver,
    World._drive_the_other,
    World._drive_the_other,
    World._wait,
    World._turn_off_or_on,
    World._turn_off_or_on,
    World._converge_someone,
    lambda world: world._tell("pause"),
    lambda world: world._tell("resume"),
    lambda world: world._tell("abort"),
)


def simulate(seed: int) -> str:
    """The state in which the rollout of this seed ends. Broken says what went wrong."""
    world = World(seed)
    try:
        return world.run()
    except Broken as broken:
        raise Broken(f"seed {seed}: {broken}") from broken
