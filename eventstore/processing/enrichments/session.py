"""Which visit an event belongs to.

Column: session. The event's own where it states one. Otherwise derived from its user, or without
one its address, its user agent, and the half hour of its time: a pure function of the event, so no
state is kept and a pack that comes again gives the same. The price is that a visit which crosses
the half hour becomes two; clients that know better send their own. "" for an event of which neither
user nor address is known.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from eventstore.columnar import encoded
from eventstore.processing.columns import Columns, Hashes, StatedOrDerived
from eventstore.processing.enrichments import options as checked

BUCKET_MS = 30 * 60 * 1000
MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no bit of what it multiplies is lost
Words = npt.NDArray[np.uint64]


def make(options: Mapping[str, Any]) -> Callable[[Columns], None]:
    """No options."""
    checked.only("session", options, ())
    return enrich


def enrich(columns: Columns) -> None:
    stated = columns.source("session")
    if "" in stated.values:
        columns.add("session", StatedOrDerived(stated, _derived(columns)))
    else:
        columns.add("session", stated)


def _derived(columns: Columns) -> Hashes:
    agents = columns.user_agents()
    # Hashed apart and joined as numbers: agents are few.
    who = _hashes(_who(columns))
    joined = who * MIX + _hashes(list(map(encoded, agents.values))).take(agents.codes)
    joined = joined * MIX + (columns.times_ms // BUCKET_MS).view(np.uint64)
    joined[who == 0] = 0
    return Hashes(joined)


def _who(columns: Columns) -> Sequence[bytes]:
    """The user of each event, or without one its address."""
    users = columns.read.pieces("user")
    if all(users):
        return users
    addresses = columns.addresses().texts()
    return [a or encoded(b) for a, b in zip(users, addresses, strict=True)]


def _hashes(texts: Sequence[bytes]) -> Words:
    """A number for each text; 0 for "", which is nobody."""
    digests = b"".join(map(xxhash.xxh3_64_digest, texts))  # quicker than a number for each
    hashed = np.frombuffer(digests, dtype=">u8").astype(np.uint64)
    nobody = hashed == xxhash.xxh3_64_intdigest(b"")
    if nobody.any() and b"" in texts:
        hashed[nobody] = 0
    return hashed
