"""Realistic events of about 350 bytes, seeded: 300 user agents, 100,000 users, unique ids and query
strings.

Bodies are made once, with a token where each must differ; a request fills in its own number. So
events are unique, and making them costs the load generator next to nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import orjson

TOKEN = b"0123456789ab"  # as long as what it becomes: a request's number in hex
TYPES = ("page_view", "page_view", "page_view", "click", "search", "add_to_cart", "purchase")
SOURCES = ("google", "bing", "newsletter", "facebook", "partner")
REFERRERS = ("", "https://www.google.com/", "https://duckduckgo.com/", "https://news.example/a")
SYSTEMS = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "Linux; Android 14; Pixel 8",
    "Linux; Android 13; SM-S918B",
)
AGENTS = tuple(
    f"Mozilla/5.0 ({SYSTEMS[n % 5]}) AppleWebKit/537.36 (KHTML, like Gecko) "
    f"Chrome/{80 + n // 5}.0.{n * 7 % 6000}.{n % 200} Safari/537.36"
    for n in range(300)
)
USERS = 100_000
TEMPLATES = 64
FIRST_FIELDS = 3


def event(chance: random.Random, index: int, at: str) -> bytes:
    """One event, with TOKEN in its id and its query string."""
    token = TOKEN.decode()
    return orjson.dumps(
        {
            "id": f"{token}-{index}",
            "type": chance.choice(TYPES),
            "at": at,
            "user": f"u{chance.randrange(USERS)}",
            "url": f"https://shop.example/p/{chance.randrange(2000)}"
            f"?utm_source={chance.choice(SOURCES)}&q={token}{index}",
            "referrer": chance.choice(REFERRERS),
            "user_agent": chance.choice(AGENTS),
            "price": round(chance.random() * 100, 2),
        }
    )


def templates(events: int, seed: int, *, bytes_each: int | None = None) -> list[bytes]:
    """Bodies of so many events a piece, one a line. bytes_each: every event is padded to this size,
    or, if it is larger, has no more than its first fields."""
    chance = random.Random(seed)  # noqa: S311 - load, no secret
    now = time.time()
    bodies = []
    for _ in range(max(1, min(TEMPLATES, 32_000 // events))):
        lines = []
        for index in range(events):
            at = datetime.fromtimestamp(now - chance.random() * 30, UTC)
            line = event(chance, index, f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z")
            if bytes_each is not None:
                if len(line) > bytes_each:
                    line = orjson.dumps(dict(list(orjson.loads(line).items())[:FIRST_FIELDS]))
                padding = bytes_each - len(line) - len(b',"pad":""')
                line = line[:-1] + b',"pad":"%s"}' % (b"x" * max(0, padding))
            lines.append(line)
        bodies.append(b"\n".join(lines))
    return bodies


def bodies(made: list[bytes], first: int) -> Iterator[bytes]:
    """Endless bodies, each event unique. first: number of the first request, below 2^48."""
    number = first
    while True:
        yield made[number % len(made)].replace(TOKEN, b"%012x" % number)
        number += 1
