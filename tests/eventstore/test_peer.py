"""Which trace a request says it belongs to."""

import pytest

from eventstore.collector.peer import continued, trace_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01"),
        (f"00-{TRACE}-{SPAN}-01-more", ""),
        (f"cc-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01"),
        (f"cc-{TRACE}-{SPAN}-fe-what the future will be like", f"00-{TRACE}-{SPAN}-00"),
        (f"cc-{TRACE}-{SPAN}-01.", ""),
        (f"ff-{TRACE}-{SPAN}-01", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"01-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-{SPAN}-01", ""),
        ("", ""),
    ],
)
def test_a_traceparent_is_read_as_far_as_its_version_is_known(given, kept):
    assert trace_of({"traceparent": given}) == kept


def test_the_trace_goes_on_with_a_span_of_our_own():
    given = f"00-{TRACE}-{SPAN}-01"
    ours = trace_of({"traceparent": continued(given)})
    assert ours[:36] == given[:36]
    assert ours[-3:] == given[-3:]
    assert ours != given
