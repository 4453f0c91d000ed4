"""Histograms, as Prometheus reads them."""

from eventstore.metrics import Histogram


def test_a_histogram_counts_what_was_within_each_bound():
    took = Histogram("took_seconds", "How long.")
    for seconds in (0.0, 0.001, 0.0011, 0.3, 99.0):
        took.observe(seconds)
    lines = took.lines()
    assert lines[:2] == ["# HELP took_seconds How long.", "# TYPE took_seconds histogram"]
    assert 'took_seconds_bucket{le="0.001"} 2' in lines
    assert 'took_seconds_bucket{le="0.0025"} 3' in lines
    assert 'took_seconds_bucket{le="0.25"} 3' in lines
    assert 'took_seconds_bucket{le="0.5"} 4' in lines
    assert 'took_seconds_bucket{le="10"} 4' in lines
    assert 'took_seconds_bucket{le="+Inf"} 5' in lines
    assert lines[-2:] == ["took_seconds_sum 99.3021", "took_seconds_count 5"]
