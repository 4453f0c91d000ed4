"""`events dead ls | show | replay`: what was refused after its acknowledgement, and why."""

import argparse
import sys
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from eventstore import engines
from eventstore.event import EventId
from eventstore.ports import DeadLetter
from eventstore.processing.enrich import Rules
from eventstore.processing.replay import replay
from eventstore.processing.transformer import transformer_of
from eventstore.settings import Settings
from eventstore.tools.tool import NotFound, Tool, print_json

EXAMPLES_SHOWN = 5
BODY_CHARS_MAX = 2000
REASON_CHARS_SHOWN = 100


@dataclass
class Group:
    """Dead letters that one mistake has made. example: the first one's id."""

    fingerprint: str
    stage: str
    reason: str
    example: str
    letters: int = 0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("does", choices=DOES, metavar="|".join(DOES), help="groups; one; again")
    parser.add_argument("--fingerprint", help="of the group that is shown or replayed")


def run(given: argparse.Namespace, settings: Settings) -> int:
    if given.does != "ls" and not given.fingerprint:
        raise ValueError(f"{given.does} needs --fingerprint: `events dead ls` has them")
    return DOES[given.does](given, settings)


def _ls(given: argparse.Namespace, settings: Settings) -> int:
    store = engines.open_store(settings)
    groups: dict[str, Group] = {}
    try:
        for letter in store.dead_letters():
            group = groups.setdefault(letter.fingerprint, _group(letter))
            group.letters += 1
    finally:
        store.close()
    most = sorted(groups.values(), key=lambda one: (-one.letters, one.fingerprint))
    if given.json:
        print_json([asdict(one) for one in most])
    elif most:
        print(f"{'fingerprint':<12}  {'letters':>8}  {'stage':<9}  reason · example")
        for one in most:
            print(f"{one.fingerprint}  {one.letters:>8}  {one.stage:<9}  {one.reason}")
            print(f"{'':<35}{one.example}")
    else:
        print("no dead letters", file=sys.stderr)
    return 0


def _show(given: argparse.Namespace, settings: Settings) -> int:
    store = engines.open_store(settings)
    try:
        letters = list(islice(store.dead_letters(given.fingerprint), EXAMPLES_SHOWN))
    finally:
        store.close()
    if not letters:
        raise _unknown(given.fingerprint)
    if given.json:
        print_json([_told(letter) for letter in letters])
        return 0
    print(f"{letters[0].stage}: {letters[0].reason}")
    for letter in letters:
        print(f"\n{_id(letter)}\n  {_text(letter)}")
    return 0


def _replay(given: argparse.Namespace, settings: Settings) -> int:
    queue, store = engines.open_queue(settings), engines.open_store(settings)
    transformer = transformer_of(settings)
    try:
        if next(store.dead_letters(given.fingerprint), None) is None:
            raise _unknown(given.fingerprint)
        done = replay(given.fingerprint, queue, store, Rules.of(settings), transformer)
    finally:
        if transformer is not None:
            transformer.close()
        queue.close()
        store.close()
    if given.json:
        print_json(asdict(done))
    else:
        print(f"{done.revived} events are visible, {done.still_dead} are still dead")
        if done.put_back:
            print(f"{done.put_back} packs are back in the queue; the next processor takes them")
    return 1 if done.still_dead else 0


DOES = {"ls": _ls, "show": _show, "replay": _replay}


def _group(letter: DeadLetter) -> Group:
    reason = letter.reason.partition("\n")[0][:REASON_CHARS_SHOWN]
    return Group(letter.fingerprint, letter.stage, reason, _id(letter))


def _told(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": _id(letter),
        "fingerprint": letter.fingerprint,
        "stage": letter.stage,
        "reason": letter.reason,
        "body": _text(letter),
    }


def _id(letter: DeadLetter) -> str:
    if letter.index is None:
        return str(letter.pack_id)
    return str(EventId(letter.pack_id, letter.index))


def _text(letter: DeadLetter) -> str:
    """The original bytes, as far as they are readable; of a whole pack only how many."""
    if letter.index is None:
        return f"a pack of {len(letter.body)} bytes"
    text = letter.body.decode(errors="backslashreplace")
    more = len(text) - BODY_CHARS_MAX
    return text if more <= 0 else f"{text[:BODY_CHARS_MAX]}… and {more} characters more"


def _unknown(fingerprint: str) -> NotFound:
    return NotFound(f"{fingerprint}: no dead letter has this fingerprint: `events dead ls` has all")


TOOL = Tool(
    "Dead letters: in groups, in full, and through the processing again.",
    arguments,
    run,
    ("dead ls", "dead show --fingerprint 4f0c2b8e91aa", "dead replay --fingerprint 4f0c2b8e91aa"),
)
