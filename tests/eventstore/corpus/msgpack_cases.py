"""MessagePack: lengths that lie, nesting without end, and what JSON can't say."""

from tests.eventstore.corpus.case import MIB, refused, taken

HUGE = b"\xff\xff\xff\xff"
A = b"\xa1a"  # the text "a", a name


def _of(value: bytes) -> bytes:
    return b"\x81" + A + value


NO_JSON = {
    "bad UTF-8": _of(b"\xa1\xff"),
    "bad UTF-8 in a name": b"\x81\xa1\xff\x01",
    "an encoded surrogate": _of(b"\xa3\xed\xa0\x80"),
    "nil as a name": b"\x81\xc0\x01",
    "a bool as a name": b"\x81\xc3\x01",
    "an array as a name": b"\x81\x91\x01\x01",
    "a map as a name": b"\x81\x80\x01",
    "an extension": _of(b"\xd4\x05x"),
    "an extension without data": _of(b"\xc7\x00\x05"),
    "a timestamp of no size": _of(b"\xc7\x03\xff123"),
    "a timestamp beyond all calendars": _of(
        b"\xc7\x0c\xff\0\0\0\0" + b"\x7f" + HUGE + b"\xff\xff\xff"
    ),
    "a timestamp with too many nanoseconds": _of(b"\xd7\xff" + HUGE + HUGE),
}
CUT = {
    "a map": b"\x81",
    "a name": b"\x81\xa5a",
    "a value": _of(b"\xcd\x01"),
    "a second map": b"\x80\x81",
    "an array": b"\x92\x80",
    "a map of 2^32 - 1": b"\xdf" + HUGE,
    "a map of 2^16 - 1": b"\xde\xff\xff",
    "an array of 2^32 - 1 in a map": _of(b"\xdd" + HUGE),
    "a text of 2^32 - 1": _of(b"\xdb" + HUGE),
    "binary of 2^32 - 1": _of(b"\xc6" + HUGE),
    "an extension of 2^32 - 1": _of(b"\xc9" + HUGE + b"\x01"),
    "nested arrays of 2^32 - 1": _of((b"\xdd" + HUGE) * 500),
    "nested arrays of 2^16 - 1": _of((b"\xdc\xff\xff") * 500),
    "nested maps of 2^32 - 1": (b"\xdf" + HUGE + A) * 500,
    "wide and declared wider": _of(b"\xdd" + HUGE + b"\xc0" * 1_000_000),
}
MSGPACK = [
    *refused("empty", {"nothing": b"", "an empty array": b"\x90", "another": b"\xdd\0\0\0\0"}),
    *refused("not_msgpack", NO_JSON),
    *refused("not_msgpack", {f"cut: {name}": body for name, body in CUT.items()}),
    *refused(
        "not_msgpack",
        {
            "the byte that is never used": b"\xc1",
            "the same in a map": _of(b"\xc1"),
            "an array and more": b"\x91\x80\x80",
            "an array and a newline": b"\x91\x80\n",
            "60,000 arrays deep": b"\x81" + A + b"\x91" * 60_000 + b"\xc0",
            "60,000 maps deep": (b"\x81" + A) * 60_000 + b"\xc0",
            "5,000 arrays deep, whole": _of(b"\x91" * 5000 + b"\x01"),
        },
    ),
    *refused("too_deep", {"65 deep": _of(b"\x91" * 64 + b"\x01")}),
    *refused("too_deep", {"65 maps deep": (b"\x81" + A) * 65 + b"\x01"}),
    *refused(
        "not_an_object",
        {
            "a number": b"\x01",
            "nil": b"\xc0",
            "a text": b"\xa2{}",
            "json": b'{"a":1}',
            "a number after a map": b"\x80\x01",
            "an array in an array": b"\x91\x91\x80",
            "two arrays": b"\x92\x80\x90",
            "a newline after a map": b"\x80\n",
        },
    ),
    *refused(
        "too_many_events",
        {
            "an array of 2^32 - 1": b"\xdd" + HUGE,
            "60,000 maps": b"\x80" * 60_000,
            "an array of 60,000": b"\xdd\x00\x00\xea\x60" + b"\x80" * 60_000,
        },
        413,
    ),
    *refused("too_large", {"a byte too much": b"\x80" * (MIB + 1)}, 413),
    *refused(
        "too_many_values",
        {
            "500,000 maps": b"\x80" * 500_000,
            "66,000 maps in maps": _of(b"\xdd\0\1\1\xd0" + b"\x81\xa0\0" * 66_000),
            "events of 8,000 arrays": _of(b"\xdc\x1f\x40" + b"\x91\0" * 8_000) * 9,
            "a million empty arrays": _of(b"\xdd\0\x0f\x42\x40" + b"\x90" * 1_000_000),
            "a million empty maps": _of(b"\xdd\0\x0f\x42\x40" + b"\x80" * 1_000_000),
        },
        413,
    ),
    *taken(
        {
            "an empty map": b"\x80",
            "an empty map32": b"\xdf\0\0\0\0",
            "64 deep": _of(b"\x91" * 63 + b"\x01"),
            "every number": _of(
                b"\x9a\xff\xcc\xff\xcd\xff\xff\xce"
                + HUGE
                + b"\xcf"
                + HUGE * 2
                + b"\xd0\x80\xd1\x80\0\xd2\x80\0\0\0\xd3\x80\0\0\0\0\0\0\0\xca\x7f\x7f\xff\xff"
            ),
            "NaN and infinity read as null": _of(b"\x92\xca\x7f\xc0\0\0\xcb\x7f\xf0\0\0\0\0\0\0"),
            "binary": _of(b"\xc4\x03\n\xff\0"),
            "a binary name": b"\x81\xc4\x01a\x01",
            "numbers as names": b"\x82\x01\x02\xff\x03",
            "names twice": b"\x82" + A + b"\x01" + A + b"\x02",
            "a NUL in a text": _of(b"\xa1\0"),
            "a timestamp": _of(b"\xd6\xff\0\0\0\x01"),
            "65,536 nils": _of(b"\xdd\0\x01\0\0" + b"\xc0" * 65536),
            "160,000 names": b"\xdf\0\x02\x71\0"
            + b"".join(b"\xce%b\x01" % n.to_bytes(4, "big") for n in range(160_000)),
            "65,000 maps in maps": _of(b"\xdd\0\0\xfd\xe8" + b"\x81\xa0\0" * 65_000),
            "a megabyte of what could be empty arrays": _of(
                b"\xc6\0\x0f\x42\x40" + b"\x90" * 1_000_000
            ),
            "a megabyte of text": _of(b"\xdb\0\x0f\0\0" + b"x" * 983_040),
        }
    ),
    *taken({"maps": b"\x80\x80", "an array16 of maps": b"\xdc\0\x02\x80\x80"}, 2),
]
