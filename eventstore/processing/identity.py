"""What recognises a client's retry: a hash of its own id, and the ten seconds that the event
states.

128 bits: two of ten billion different ids are taken for the same with a chance of 1 in 10^18.
"""

from collections.abc import Sequence
from itertools import repeat

import numpy as np
import numpy.typing as npt
import xxhash

from eventstore.times import UNSTATED

Int64s = npt.NDArray[np.int64]
NO_KEY = bytes(16)
UNDATED = -(1 << 40)  # the span of events that state none
SPAN_MS = 10_000


def keys_of(ids: Sequence[bytes], source: str) -> Int64s:
    """Shape (n, 2); zeros where an event has no text as its id. The same id from another source
    is another key."""
    seed = xxhash.xxh3_64_intdigest(source.encode())
    digest = xxhash.xxh3_128_digest
    if all(ids):
        hashed = b"".join(map(digest, ids, repeat(seed)))
    else:
        hashed = b"".join([digest(one, seed) if one else NO_KEY for one in ids])
    return np.frombuffer(hashed, dtype=np.int64).reshape(-1, 2)


def spans_of(stated: Int64s) -> Int64s:
    """The span of time that each event states, as its client's clock had it."""
    return np.where(stated == UNSTATED, UNDATED, stated // SPAN_MS)
