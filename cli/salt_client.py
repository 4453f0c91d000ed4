"""The only place that talks to Salt: asynchronous, list-targeted publishes, mostly one a call."""

from __future__ import annotations

import importlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from artifacts.errors import EvctlError
from cli.lab import namespaces

if TYPE_CHECKING:
    from salt.client import LocalClient

SILENT = "unreachable"
_NO_MORE: Any = object()
# How long a node may take to say that it is at work on a job, before it counts as silent.
ALIVE_S = 5
# Who isn't needed is late when this has passed, and so many times what the slowest other one took.
LATE_S, LATE_TIMES = 2.0, 2.0
POLL_S = 0.01
# More nodes are asked in turns: what they fetch and answer at once is bounded, however many.
AT_ONCE_MAX = 500
# It goes on about options of its own command.
SALTS_OWN_ADVICE = "You may need to run your command"


class MasterUnreachable(EvctlError):
    code = "E3001"
    exit_code = 7
    explanation = "The Salt master doesn't answer, so no node can be asked. They go on serving."


class MasterRefused(EvctlError):
    code = "E3002"
    exit_code = 4
    explanation = "The Salt master runs, and this user may not publish through it."


@dataclass(frozen=True)
class Return:
    """What one node answered. error: `unreachable`, or what Salt said instead of an answer."""

    node: str
    data: Any = None
    error: str | None = None

    @property
    def silent(self) -> bool:
        return self.error == SILENT


class SaltClient:
    """Asks nodes through the master whose settings lie in `config`.

    network: the namespace that the master's sockets are in; this thread moves there for good.
    """

    def __init__(self, config: Path, network: str | None) -> None:
        self._config = config
        self._network = network
        self._client: LocalClient | None = None

    def call(
        self,
        nodes: Collection[str],
        function: str,
        kwargs: Mapping[str, Any],
        timeout_s: float,
        spare: int = 0,
    ) -> Iterator[Return]:
        """Every node yields exactly once, within about `timeout_s` of its turn. MasterUnreachable,
        MasterRefused: then no further node was asked. spare: so many of a turn aren't waited for
        to the end, once the others have long answered."""
        for some in in_turns(nodes):
            waiting = set(some)
            began = time.monotonic()
            slowest_s = None
            for found in self._answers(some, function, dict(kwargs), timeout_s):
                took_s = time.monotonic() - began
                if found and found.node in waiting:
                    waiting.discard(found.node)
                    slowest_s = took_s
                    yield found
                elif len(waiting) <= spare and is_late(took_s, slowest_s):
                    break
            for node in sorted(waiting):
                yield Return(node, error=SILENT)

    def _answers(
        self, nodes: list[str], function: str, kwargs: dict[str, Any], timeout_s: float
    ) -> Iterator[Return | None]:
        """None, again and again, while nobody answers."""
        import salt.exceptions

        try:
            client = self._connect()
            deadline = time.monotonic() + timeout_s
            with _undisturbed():
                job = client.run_job(
                    nodes,
                    function,
                    arg=(),
                    tgt_type="list",
                    kwarg=kwargs,
                    timeout=ALIVE_S,
                    listen=True,
                )
            if not job:
                return  # the master knows none of these nodes
            returns = client.get_iter_returns(
                job["jid"],
                set(job["minions"]),
                timeout=ALIVE_S,
                tgt=nodes,
                tgt_type="list",
                block=False,  # else it yields nothing, however long, while nobody answers
            )
            while True:
                with _undisturbed():
                    some = next(returns, _NO_MORE)
                if some is _NO_MORE:
                    return
                for node, answer in (some or {}).items():
                    yield _return(node, answer)
                if time.monotonic() > deadline:
                    return
                if not some:
                    yield None
                    time.sleep(POLL_S)
        except (salt.exceptions.AuthenticationError, salt.exceptions.EauthAuthenticationError) as e:
            raise refused(e) from e
        except salt.exceptions.SaltClientError as error:  # the parent of all that remain
            if isinstance(error.__cause__ or error.__context__, PermissionError):
                raise refused(error) from error
            raise unreachable(error) from error
        except salt.exceptions.SaltReqTimeoutError as error:
            raise unreachable(error) from error
        except PermissionError as error:
            raise refused(error) from error

    def _connect(self) -> LocalClient:
        if self._client is None:
            settings = settings_of_master(self._config)
            enter_network(self._network)
            _import_transport()
            import salt.client
            import salt.loader

            # What it logs on stderr is said by the errors that are raised, in one line.
            logging.getLogger("salt").setLevel(logging.CRITICAL)
            with _loading_nothing(salt.loader):
                self._client = salt.client.LocalClient(c_path=str(settings), auto_reconnect=True)
            # Salt asks the job cache whether there is such a job, which imports half a minion;
            # this client asks for no answers but those to what it has just published.
            self._client.returns_for_job = bool
        return self._client


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Salt takes a KeyboardInterrupt for an event of its own: it is lost, and so may be the answers
    of nodes, which then count as silent. What comes meanwhile is heard when Salt has returned."""
    came: list[tuple[int, FrameType | None]] = []
    heard: dict[int, Callable[[int, FrameType | None], Any]] = {}
    if threading.current_thread() is threading.main_thread():  # nobody else hears signals
        for interrupt in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(interrupt)
            if callable(handler):
                heard[interrupt] = handler
                signal.signal(interrupt, lambda *signalled: came.append(signalled))
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
        for number, frame in came[:1]:
            heard[number](number, frame)


def is_late(waited_s: float, slowest_s: float | None) -> bool:
    """Who still hasn't answered. slowest_s: of the others; while nobody has, nobody is late."""
    return slowest_s is not None and waited_s > max(LATE_S, LATE_TIMES * slowest_s)


def in_turns(nodes: Collection[str]) -> list[list[str]]:
    """Those who are asked at once, turn by turn."""
    ordered = sorted(nodes)
    return [ordered[first : first + AT_ONCE_MAX] for first in range(0, len(ordered), AT_ONCE_MAX)]


def _import_transport() -> None:
    """Salt's transport imports the whole master, of which a client uses nothing: with its file
    servers, gitfs and all that is most of what a command would wait for."""
    if "salt.transport.tcp" in sys.modules:
        return
    whole = sys.modules.setdefault("salt.master", ModuleType("salt.master"))
    try:
        importlib.import_module("salt.transport.tcp")
    finally:
        if not hasattr(whole, "__file__"):
            del sys.modules["salt.master"]


@contextmanager
def _loading_nothing(loader: ModuleType) -> Iterator[None]:
    """A client looks through all of Salt's modules, and calls none for what is asked here."""
    kinds = ("utils", "minion_mods", "returners")
    real = {kind: getattr(loader, kind) for kind in kinds}
    for kind in kinds:
        setattr(loader, kind, lambda *_, **__: {})
    try:
        yield
    finally:
        for kind, load in real.items():
            setattr(loader, kind, load)


def settings_of_master(config: Path) -> Path:
    """The master's own file. Salt itself says nothing of one that it can't read, and looks for a
    master of its own invention. MasterUnreachable, MasterRefused."""
    file = config / "master"
    try:
        file.open("rb").close()
    except PermissionError as error:
        raise refused(error) from error
    except OSError as error:
        raise unreachable(f"no settings of a master at {file}") from error
    return file


def enter_network(network: str | None) -> None:
    """Move this thread to where the master's sockets are. MasterUnreachable when that is gone."""
    if network is None:
        return
    if not namespaces.exists(network):
        raise unreachable(f"its network {network} is not there: the lab is down")
    namespaces.enter(network)


def unreachable(why: object) -> MasterUnreachable:
    return MasterUnreachable(
        "the Salt master doesn't answer",
        why=str(why).partition(SALTS_OWN_ADVICE)[0].strip() or "no answer in time",
        next_step="systemctl status salt-master; in a lab: evctl lab up",
    )


def refused(why: object) -> MasterRefused:
    return MasterRefused(
        "the Salt master refuses this user",
        why=str(why).strip(),
        next_step="run evctl as root, or as the master's user",
    )


def _return(node: str, answer: Any) -> Return:
    if not isinstance(answer, dict) or answer.get("failed"):
        return Return(node, error=SILENT)
    data = answer.get("ret")
    if isinstance(data, dict):
        return Return(node, data=data)
    return Return(node, error=str(data).strip().splitlines()[-1] if data else "no answer")
