"""Batches whose entries succeed or fail one by one, as SQS answers them."""

from collections.abc import Sequence
from typing import Any

from eventstore.backends.aws.calls import Calls, throttled
from eventstore.errors import EngineUnavailable

Entry = dict[str, Any]


def refused(calls: Calls, operation: str, url: str, entries: Sequence[Entry]) -> dict[str, str]:
    """Those that SQS has refused for what they say: Id → why. All others it has carried out.

    What failed for a fault of SQS's own is tried again, each alone. Raises EngineUnavailable when
    one doesn't come through.
    """
    wrong: dict[str, str] = {}
    again = []
    for entry, failure in _failed(calls, operation, url, entries):
        if _final(failure):
            wrong[entry["Id"]] = _why(failure)
        else:
            again.append(entry)
    for entry in again:
        for last in calls.retries.tries():
            failures = _failed(calls, operation, url, [entry])
            if not failures:
                break
            ((_, failure),) = failures
            if _final(failure):
                wrong[entry["Id"]] = _why(failure)
                break
            if last:
                raise EngineUnavailable(
                    f"{calls.place.url}: cannot {operation}: {_why(failure)}; try again later"
                )
    return wrong


def _failed(
    calls: Calls, operation: str, url: str, entries: Sequence[Entry]
) -> list[tuple[Entry, Entry]]:
    answer = calls(operation, QueueUrl=url, Entries=list(entries))
    failures = {one["Id"]: one for one in answer.get("Failed", [])}
    done = {one["Id"] for one in answer.get("Successful", [])}
    # What it says nothing of has not succeeded.
    return [
        (entry, failures.get(entry["Id"], {"Code": "no answer"}))
        for entry in entries
        if entry["Id"] not in done
    ]


def _final(failure: Entry) -> bool:
    return bool(failure.get("SenderFault")) and not throttled(failure["Code"])


def _why(failure: Entry) -> str:
    return f"{failure['Code']}: {failure.get('Message', '')}"
