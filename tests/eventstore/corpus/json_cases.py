"""JSON: what parsers disagree about. Most are a value, in the place of VALUE in {"a":VALUE}."""

from tests.eventstore.corpus.case import MIB, Case, refused, taken

BAD_VALUES = {
    # numbers
    "a leading zero": b"01",
    "a leading plus": b"+1",
    "a minus alone": b"-",
    "two minuses": b"--1",
    "minus zero one": b"-01",
    "no digit before the point": b".5",
    "no digit after the point": b"1.",
    "no digit around the point": b".",
    "two points": b"1.2.3",
    "no exponent": b"1e",
    "a signed exponent that is none": b"1e+",
    "an exponent with a point": b"1e1.5",
    "hexadecimal": b"0x1F",
    "octal": b"0o7",
    "underscores": b"1_000",
    "a comma in a number": b"1,000",
    "a space in a number": b"1 000",
    "full-width digits": "１２".encode(),
    "NaN": b"NaN",
    "minus NaN": b"-NaN",
    "nan": b"nan",
    "Infinity": b"Infinity",
    "minus Infinity": b"-Infinity",
    "inf": b"inf",
    "a number and letters": b"1a",
    # strings
    "an open string": b'"abc',
    "single quotes": b"'abc'",
    "no quotes": b"abc",
    "a raw newline": b'"a\nb"',
    "a raw tab": b'"a\tb"',
    "a raw NUL": b'"a\0b"',
    "a raw control character": b'"a\x1fb"',
    "an unknown escape": b'"\\x41"',
    "an escaped newline": b'"\\\n"',
    "an escape at the end": b'"\\',
    "half a unicode escape": b'"\\u12"',
    "a unicode escape of letters": b'"\\uzzzz"',
    "a lone high surrogate": b'"\\ud800"',
    "a lone low surrogate": b'"\\udc00"',
    "surrogates in the wrong order": b'"\\ude00\\ud83d"',
    "a high surrogate and a letter": b'"\\ud83da"',
    "a high surrogate twice": b'"\\ud83d\\ud83d"',
    "half a low surrogate": b'"\\ud83d\\ude"',
    "latin-1": b'"\xe9"',
    "UTF-8 cut short": b'"\xe2\x82"',
    "a lone continuation byte": b'"\x80"',
    "an overlong encoding": b'"\xc0\xaf"',
    "an encoded surrogate": b'"\xed\xa0\x80"',
    "beyond Unicode": b'"\xf4\x90\x80\x80"',
    "bytes that are never UTF-8": b'"\xff\xfe"',
    # arrays and objects
    "a comma at the end of an array": b"[1,]",
    "a comma at the start of an array": b"[,1]",
    "two commas": b"[1,,2]",
    "no comma": b"[1 2]",
    "an open array": b"[1",
    "an array closed as an object": b"[1}",
    "a comma at the end of an object": b'{"b":1,}',
    "no colon": b'{"b" 1}',
    "two colons": b'{"b"::1}',
    "no value": b'{"b":}',
    "no name": b"{:1}",
    "a number as a name": b"{1:1}",
    "a bare name": b"{b:1}",
    "null as a name": b"{null:1}",
    "an open object": b'{"b":1',
    # words
    "True": b"True",
    "half a word": b"tru",
    "nulll": b"nulll",
    "undefined": b"undefined",
    "nothing": b"",
    # what is not JSON
    "a comment": b"1 /* one */",
    "a line comment": b"1 // one",
    "a NUL after it": b"1\0",
    "a form feed": b"\x0c1",
    "a no-break space": b"\xc2\xa01",
    "a byte order mark": b"\xef\xbb\xbf1",
}
GOOD_VALUES = {
    "minus zero": b"-0",
    "minus zero point zero": b"-0.0",
    "an exponent": b"1E+2",
    "a tiny number": b"1e-999",
    "the largest double": b"1.7976931348623157e308",
    "2^53 + 1": b"9007199254740993",
    "2^64": b"18446744073709551616",
    "300 digits": b"9" * 300,
    "3,000 digits after the point": b"0." + b"1" * 3000,
    "an empty string": b'""',
    "every escape": b'"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041"',
    "an escaped NUL": b'"\\u0000"',
    "an escaped pair of surrogates": b'"\\ud83d\\ude00"',
    "a backslash before ud800": b'"\\\\ud800"',
    "DEL": b'"\x7f"',
    "a noncharacter": b'"\xef\xbf\xbf"',
    "a byte order mark in a string": b'"\xef\xbb\xbf"',
    "line separators": '"\u2028\u2029"'.encode(),
    "brackets in a string": b'"' + b"[{" * 500 + b'"',
    "white space": b" \t1 \t",
    "an empty array": b"[]",
    "an empty object": b"{}",
    "an empty name": b'{"":1}',
    "names twice": b'{"b":1,"b":2,"b":{}}',
    "names that are the same once unescaped": b'{"b":1,"\\u0062":2}',
    "names that programs use": b'{"__proto__":1,"constructor":{},"__class__":[]}',
}
UNSTORABLE_NUMBERS = {
    "1e999": b"1e999",
    "minus 1e999": b"-1e999",
    "5,000 digits": b"9" * 5000,
    "an exponent of 5,000 digits": b"1e" + b"9" * 5000,
}
KEPT_UNREADABLE = "500 times 1e999"
DEPTHS = {
    "65 objects": b'{"a":' * 65 + b"1" + b"}" * 65,
    "65 arrays": b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
    "mixed": b'{"a":[' * 33 + b"1" + b"]}" * 33,
    "1,000 objects": b'{"a":' * 1000 + b"1" + b"}" * 1000,
}
BOMBS = {
    "open arrays": b'{"a":' + b"[" * 60_000,
    "open objects": b'{"a":' * 60_000,
    "open strings": b'{"a":' + b'"' * 500_001,
    "arrays": b'{"a":' + b"[" * 60_000 + b"]" * 400_000 + b"}",
    "closing brackets": b"{" + b"]" * 500_000 + b"}",
}
HEAVY = {
    "open arrays": b'{"a":' + b"[" * 500_000,
    "open objects": b'{"a":' * 200_000,
    "arrays in arrays": b'{"a":' + b"[" * 400_000 + b"]" * 400_000 + b"}",
    "arrays": b'{"a":[' + b"[]," * 66_000 + b"0]}",
    "objects behind a string": b'{"":"\\\\\\"","a":[' + b'{"":0},' * 66_000 + b"0]}",
}
NOT_HEAVY = {
    "arrays": b'{"a":[' + b"[]," * 65_000 + b"0]}",
    "arrays that are some bytes each": b'{"a":[' + b'["123456789012"],' * 60_000 + b"0]}",
    "a string's": b'{"":"' + b'[\\"{' * 100_000 + b'","a":[' + b"[]," * 65_000 + b"0]}",
}
KEYS = b"{" + b",".join(b'"%d":0' % n for n in range(90_000)) + b"}"
KEYS_2_20 = b"{" + b",".join(b'"%d":0' % n for n in range(1 << 20)) + b"}"


def _inside(values: dict[str, bytes]) -> dict[str, bytes]:
    return {name: b'{"a":%b}' % value for name, value in values.items()}


BOTH = [
    *refused("not_json", _inside(BAD_VALUES)),
    *taken(_inside(GOOD_VALUES)),
    *refused("too_deep", {f"depth: {name}": body for name, body in DEPTHS.items()}),
    *refused("not_json", {f"bomb: {name}": body for name, body in BOMBS.items()}),
    *refused("too_many_values", {f"heavy: {name}": body for name, body in HEAVY.items()}, 413),
    *taken({f"not heavy: {name}": body for name, body in NOT_HEAVY.items()}),
    *taken({"64 objects": b'{"a":' * 64 + b"1" + b"}" * 64, "90,000 keys": KEYS}),
    *taken(
        {
            "a megabyte of brackets in a string": b'{"a":"%b"}' % (b"[" * (MIB - 9)),
            "a megabyte of escaped quotes": b'{"a":"%b"}' % (b'\\"[' * (MIB // 3 - 9)),
        }
    ),
    *refused("too_large", {"2^20 keys": KEYS_2_20, "a byte too much": b"{" * (MIB + 1)}, 413),
    *refused("not_an_object", {"a number": b"7", "a text": b'"{}"', "null": b"null"}),
    *refused("not_json", {"a byte order mark": b"\xef\xbb\xbf{}", "a NUL": b"{}\0"}),
    *refused(
        "not_json", {code: '{"a":1}'.encode(code) for code in ("utf-16", "utf-32", "utf-7")[:2]}
    ),
    *refused("empty", {"nothing": b"", "white space": b" \t\r\n "}),
]
JSON = [
    *BOTH,
    *refused("not_json", _inside(UNSTORABLE_NUMBERS)),
    *refused("not_json", {"two objects": b"{} {}", "an open array": b"[{}", "[{},]": b"[{},]"}),
    *refused("not_an_object", {"an array in an array": b"[[{}]]", "[{},1]": b"[{},1]"}),
    *refused("empty", {"[]": b"[]", "[ ]": b"[ \n ]"}),
    *refused("too_many_events", {"60,000 objects": b"[{}" + b",{}" * 59_999 + b"]"}, 413),
    *taken({"lines": b'{\r\n"a"\t:\n[\n]\r}', "in an array": b"[ {} ]"}),
]
NDJSON = [
    *BOTH,
    *refused("not_json", _inside(UNSTORABLE_NUMBERS)),
    # Of a large body each number is looked at only when something else needs a closer look.
    *taken({KEPT_UNREADABLE: b'{"a":1e999}\n' * 500}, events=500),
    *refused("not_json", {"1e999 and a letter": '{"a":1e999,"b":"é"}\n'.encode() * 500}),
    *refused("not_json", {"5,000 digits in a large body": b'{"a":%b}\n' % (b"9" * 5000) * 9}),
    *refused("not_json", {"two on a line": b"{} {}\n{}", "over two lines": b'{"a":\n1}\n{}'}),
    *refused("not_json", {"braces at the ends": b"{\n}{}", "cut short": b'{}\n{"a'}),
    *refused("not_an_object", {"an array": b"{}\n[]\n{}", "a line of commas": b"{}\n1\n{}"}),
    *refused("too_many_events", {"340,000 lines": b"{}\n" * 340_000}, 413),
    *taken({"empty lines": b"\n{}\n\r\n \t\n{}\n\n"}, events=2),
]


def deepest() -> list[Case]:
    """Deeper than any parser goes: refused by one reason or the other."""
    return [
        Case(f"{depth} deep", b'{"a":' + b"[" * depth + b"]" * depth + b"}", 400, code)
        for depth, code in ((500, "too_deep"), (5000, "not_json"), (60_000, "not_json"))
    ]
