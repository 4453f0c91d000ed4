"""Forms, and the query strings of pixels: read as the URL Standard says, and always UTF-8."""

from tests.eventstore.corpus.case import MIB, refused, taken

BOTH = [
    *refused("empty", {"nothing": b"", "separators": b"&&&&"}),
    *refused(
        "not_form",
        {
            "an escaped byte that is no UTF-8": b"a=%FF",
            "half a character": b"a=%C3&b=1",
            "an overlong encoding": b"a=%C0%AF",
            "an escaped surrogate": b"a=%ED%A0%80",
            "latin-1 in a name": b"%E9=1",
            "beyond Unicode": b"a=%F4%90%80%80",
        },
    ),
    *refused("too_many_fields", {"1,001 fields": b"a=1&" * 1000 + b"b=2"}, 413),
    *taken(
        {
            "broken escapes stand for themselves": b"a=100%&b=%zz&c=%u00e9&d=%4",
            "no value": b"a&b=&=c&=",
            "equals signs": b"a==b=c",
            "semicolons divide nothing": b"a=1;b=2",
            "names twice": b"a=1&a=2&a=3",
            "a NUL": b"a=%00&%00=b",
            "newlines": b"a=%0D%0A%0A",
            "a byte order mark": b"%EF%BB%BFa=1",
            "a noncharacter": b"a=%EF%BF%BF",
            "plus and space": b"a=+%2B%20",
            "names that programs use": b"__proto__=1&constructor[x]=2&a[]=3",
            "1,000 fields": b"a=1&" * 999 + b"b=2",
            "500 separators": b"&" * 500 + b"a=1",
        }
    ),
]
FORM = [
    *BOTH,
    *refused("not_form", {"latin-1": b"a=\xe9", "a raw surrogate": b"a=\xed\xa0\x80"}),
    *refused("not_form", {"json": b'{"a":1}', "an array": b' [{"a":"b&c"}]'}),
    *refused(
        "too_many_fields", {"100,000 fields": b"&".join(b"f%d=1" % n for n in range(100_000))}, 413
    ),
    *refused("too_large", {"a byte too much": b"a=" + b"x" * MIB}, 413),
    *taken(
        {
            "raw UTF-8": "a=ü&ö=😀".encode(),
            "raw newlines and NULs": b"a=1\nb=\x00\r\n",
            "a megabyte": b"a=" + b"%41" * 340_000,
        }
    ),
]
