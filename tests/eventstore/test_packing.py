"""The pack: what goes in comes out, byte for byte; what is damaged is noticed."""

import random
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from eventstore import packing
from eventstore.dictionaries import Dictionaries
from eventstore.errors import DictionaryMissing, PackCorrupt
from eventstore.event import new_pack_id

TAGS = {"endpoint": "/v1/events", "source": "web"}
requests = st.lists(
    st.tuples(
        st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5),
        st.integers(0, 2**43),
        st.text(max_size=20),
    ),
    min_size=1,
    max_size=6,
)


@given(requests)
def test_round_trip(shares: list[tuple[list[bytes], int, str]]):
    pack_id = new_pack_id()
    senders = [packing.Share(len(events), at, user_agent=agent) for events, at, agent in shares]
    flat = [event for events, _, _ in shares for event in events]
    divided = any(b"\n" in event for event in flat)
    lengths = [len(event) for event in flat] if divided else None
    blocks = [(b"" if divided else b"\n").join(events) for events, _, _ in shares]
    pack = packing.unpack(packing.pack(pack_id, TAGS, senders, blocks, lengths))
    assert (pack.id, pack.tags, list(pack.shares), pack.events) == (pack_id, TAGS, senders, flat)
    assert [event for event, _ in pack.per_event()] == flat


def one_pack() -> bytes:
    return packing.pack(
        new_pack_id(), TAGS, [packing.Share(2, 1, user_agent="ua")], [b"{}\n{}"], None
    )


def test_what_was_packed_before_changes_nothing():
    """Compressors are kept, one for each of a few dictionaries: each pack is what a new one makes
    of it, and needs no other dictionary."""
    body = b"\n".join(b'{"id":"%d","page":"/a/%d"}' % (n, n % 7) for n in range(300))
    pack_id, shares = new_pack_id(), [packing.Share(300, 1)]
    made = [
        zstandard.train_dictionary(2000, [b"%d %s" % (seed, body[n:]) for n in range(0, 3000, 10)])
        for seed in range(packing.COMPRESSORS_MAX + 1)
    ]
    packs: dict[int, bytes] = {}
    for _ in range(2):
        for dictionary in (None, *made):
            packed = packing.pack(pack_id, TAGS, shares, [body], None, dictionary=dictionary)
            dictionary_id = dictionary.dict_id() if dictionary else 0
            assert packing.dictionary_of(packed) == dictionary_id
            assert packs.setdefault(dictionary_id, packed) == packed
            found = packing.unpack(
                packed, Dictionaries({one.dict_id(): one.as_bytes() for one in made}.get)
            )
            assert found.block == body
            one_pack()


@pytest.mark.parametrize("size", [packing.LARGE_BYTES - 500, packing.LARGE_BYTES, 1 << 20])
def test_a_pack_of_any_size_is_what_was_put_in_and_the_same_each_time(size: int):
    chance = random.Random(size)
    body = b"\n".join(b'{"id":"%d"}' % chance.getrandbits(96) for _ in range(size // 40))
    body += b"\n" + b'{"a":"%s"}' % (b"x" * (size - len(body) - 9))
    assert len(body) == size
    pack_id, shares = new_pack_id(), [packing.Share(size // 40 + 1, 1)]
    packed = packing.pack(pack_id, TAGS, shares, [body], None)
    assert packing.unpack(packed).block == body
    one_pack()
    assert packing.pack(pack_id, TAGS, shares, [body], None) == packed


def test_every_damaged_byte_and_every_cut_is_noticed():
    good = one_pack()
    for position in range(len(good)):
        if position in (5, 6, 7):
            continue  # flags and padding: reserved, not yet read
        damaged = bytearray(good)
        damaged[position] ^= 0x55
        with pytest.raises(PackCorrupt):
            packing.unpack(bytes(damaged))
        with pytest.raises(PackCorrupt):
            packing.unpack(good[:position])


@pytest.mark.parametrize(
    "header",
    [
        b"{}",
        b"[]",
        b'{"bytes":99999999999}',
        b'{"bytes":5,"id":"x","tags":{},"events":2,"user_agents":[],'
        b'"requests":{"events":[2],"received_at_ms":[1],"user_agent":[0]}}',
    ],
)
def test_a_header_that_lies_is_noticed(header: bytes):
    frame = zstandard.ZstdCompressor().compress
    for version, rest in ((2, header + frame(b"{}\n{}")), (3, frame(header + b"{}\n{}"))):
        crc = zlib.crc32(rest)
        prefix = packing.PREFIX.pack(packing.MAGIC, version, 0, 0, len(header), crc)
        with pytest.raises(PackCorrupt):
            packing.unpack(prefix + rest)


def test_a_frame_that_does_not_say_how_much_it_holds_is_not_unpacked():
    rest = zstandard.ZstdCompressor(write_content_size=False).compress(b"{}" + bytes(1000))
    prefix = packing.PREFIX.pack(packing.MAGIC, 3, 0, 0, 2, zlib.crc32(rest))
    with pytest.raises(PackCorrupt, match="more than a header"):
        packing.unpack(prefix + rest)


def test_what_is_compressed_with_a_dictionary_needs_it():
    samples = [b'{"id":"%d","type":"click","page":"/p/%d"}' % (n, n % 7) for n in range(2000)]
    dictionary = zstandard.train_dictionary(4096, samples)
    asked: list[int] = []

    def find(dictionary_id: int) -> bytes:
        asked.append(dictionary_id)
        return dictionary.as_bytes()

    blocks = [b"\n".join(samples[:10])]
    small, large = (
        packing.pack(new_pack_id(), TAGS, [packing.Share(10, 1)], blocks, None, dictionary=one)
        for one in (dictionary, None)
    )
    assert packing.dictionary_of(small) == dictionary.dict_id()
    assert packing.dictionary_of(large) == packing.dictionary_of(fixture_bytes("v2-lines")) == 0
    dictionaries = Dictionaries(find)
    for _ in range(2):
        assert packing.unpack(small, dictionaries).events == samples[:10]
    assert asked == [dictionary.dict_id()]
    with pytest.raises(DictionaryMissing, match=f"{asked[0]} is not in the store"):
        packing.unpack(small)


FIXTURES = Path(__file__).parent.parent / "fixtures" / "packs"


def fixture_bytes(name: str) -> bytes:
    return (FIXTURES / f"{name}.pack").read_bytes()


def fixture(name: str) -> packing.Pack:
    dictionary = (FIXTURES.parent / "dictionaries" / "1208533752.zdict").read_bytes()
    return packing.unpack(fixture_bytes(name), Dictionaries(lambda _: dictionary))


def test_packs_of_every_version_ever_written_are_read():
    """The files are as their release wrote them; a new version adds files, and changes none."""
    written = {path.name.partition("-")[0] for path in FIXTURES.iterdir()}
    assert written == {f"v{version}" for version in packing.VERSIONS}


def test_version_1():
    lines, lengths = fixture("v1-lines"), fixture("v1-lengths")
    assert lines.events == [b'{"id":"a","type":"click"}', b'{"id":"b"}', b'{"n":3}']
    assert lines.shares == (
        packing.Share(2, 1795533826888, user_agent="curl/8.5.0"),
        packing.Share(1, 1795533826890),
    )
    assert (lines.format, lines.names, lines.refused) == ("json", {}, {})
    assert lengths.events == [b'{\n "id": "c"\n}', b"{}"]


def test_version_2():
    lines, contexts = fixture("v2-lines"), fixture("v2-contexts")
    assert lines.events == [b'{"id":"a","type":"click"}', b'{"id":"b"}', b'{"n":3}']
    assert lines.tags["tenant"] == "default"
    assert (lines.names, list(lines.refused)) == ({"name": "event"}, [1])
    first = lines.shares[0]
    assert (first.sent_at_ms, first.address) == (1795533826800, "192.0.2.7")
    assert first.trace == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    runs = [(context, count) for context, _, _, count in contexts.runs()]
    assert runs == [(b"id,name", 1), (b"n", 1)]


def test_version_3():
    lines = fixture("v3-lines")
    assert lines.events == [b'{"id":"a","type":"click"}', b'{"id":"b"}', b'{"n":3}']
    assert (lines.format, lines.names, list(lines.refused)) == ("json", {"name": "event"}, [1])
    assert fixture("v3-dictionary") == lines
    erased = fixture("v3-erased")
    assert erased.events == [b'{"id":"a","type":"click"}', b"", b'{"n":3}']
    assert erased.shares[1] == packing.Share(1, 1795533826888)
    assert erased.tombstones == {1: packing.Tombstone("3f0c" * 8, 1795533826000, "view")}
    assert erased.erasures == (packing.Erasure("3f0c" * 8, 1795620226000, "ab" * 32),)
