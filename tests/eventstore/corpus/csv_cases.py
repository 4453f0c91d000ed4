"""CSV with a header, as RFC 4180 has it."""

from tests.eventstore.corpus.case import MIB, Case, refused, taken

WIDE = b",".join(b"c%d" % n for n in range(50_000))
CSV = [
    *refused("empty", {"nothing": b"", "a header only": b"a,b\r\n", "lines": b"\n\r\n\n"}),
    *refused("empty", {"a byte order mark": b"\xef\xbb\xbf", "a header and lines": b"a\n\n\n"}),
    *refused(
        "not_csv",
        {
            "a field too few": b"a,b\n1,2\n3\n",
            "a field too many": b"a,b\n1,2,3\n",
            "a comma at the end": b"a,b\n1,2,\n",
            "an open quote": b'a,b\n1,"2\n3,4\n',
            "an open quote at the end": b'a,b\n1,"',
            "an open quote in the header": b'"a,b\n1,2\n',
            "a quote within a field": b'a,b\n1,2"3\n',
            "a quote after a quoted field": b'a,b\n"1"2,3\n',
            "a space before a quote": b'a,b\n1, "2"\n',
            "an odd number of quotes": b'a\n"""\n',
            "a NUL": b"a,b\n1,\0\n",
            "a NUL in quotes": b'a,b\n1,"\0"\n',
            "a NUL in the header": b"a\0,b\n1,2\n",
            "carriage returns alone": b"a,b\r1,2\r",
            "a carriage return in a field": b"a,b\n1\r2,3\n",
            "latin-1": b"a,b\n\xe9,2\n",
            "latin-1 in the header": b"\xe9,b\n1,2\n",
            "UTF-16": "a,b\n1,2\n".encode("utf-16"),
            "UTF-8 cut short": b"a\n\xe2\x82",
            "names twice": b"a,a\n1,2\n",
            "no names": b",\n1,2\n",
            "semicolons and decimal commas": b"a;b\n1,5;2\n",
            "a megabyte of quotes": b"a\n" + b'"' * (MIB - 3),
            "a megabyte of open quotes": b"a\n" + b'"",' * 349_000 + b'"',
            "a row of 500,000 fields": b"a\n" + b"," * 500_000,
        },
    ),
    Case(
        "no header, it says",
        b"1,2\n",
        400,
        "not_csv",
        headers={"Content-Type": "text/csv; header=absent"},
    ),
    *refused("too_many_events", {"500,000 rows": b"a\n" + b"1\n" * 500_000}, 413),
    *refused("too_large", {"a byte too much": b"a\n" + b"x" * MIB}, 413),
    *taken(
        {
            "one column": b"a\n1",
            "an empty field": b"a,b\n,\n",
            "one empty field": b'a\n""\n',
            "a name that is empty": b",a\n0,1\n",
            "quotes of quotes": b'a,b\n"""",""""""\n',
            "a quoted carriage return": b'a,b\n"\r","\r\n"\n',
            "quoted names": b'"a ""b""","c\nd"\n1,2\n',
            "spaces": b"a, b\n 1,2 \n",
            "a field of 900,000 characters": b"a\n" + b"x" * 900_000,
            "a quoted field of 900,000 newlines": b'a\n"' + b"\n" * 900_000 + b'"',
            "semicolons are one column": b"a;b\n1;2\n",
            "formulas": b"a,b\n=1+1,@x\n",
            "50,000 columns": WIDE + b"\n" + b"," * 49_999,
        }
    ),
    *taken({"a byte order mark": b"\xef\xbb\xbfa\n1\n2\n", "all ends of lines": b"a\n1\r\n\n2"}, 2),
    *taken({"10,000 rows": b"a\n" + b"1\n" * 10_000}, 10_000),
]
