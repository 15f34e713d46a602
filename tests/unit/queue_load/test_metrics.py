"""The histogram as /metrics shows it."""

import os

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from tests.queue_load import metrics


def shown(*seconds: float) -> str:
    registry = CollectorRegistry()
    histogram = Histogram(metrics.CYCLES, "Cycles.", buckets=(0.01, 0.05, 1), registry=registry)
    for value in seconds:
        histogram.observe(value)
    return generate_latest(registry).decode()


def test_only_what_came_since_counts() -> None:
    before = metrics.Histogram.read(shown(0.9))
    found = metrics.Histogram.read(shown(0.9, 0.001, 0.002, 0.003, 0.04)).since(before)
    assert found.count == 4
    assert found.mean == pytest.approx(0.0115)
    assert (found.part_within(0.01), found.part_within(0.05)) == (0.75, 1.0)
    assert (found.quantile_bound(0.75), found.quantile_bound(0.99)) == (0.01, 0.05)


def test_a_histogram_that_is_not_there_is_said() -> None:
    with pytest.raises(LookupError, match=metrics.CYCLES):
        metrics.Histogram.read("")


def test_a_process_s_memory_is_its_most_resident_set() -> None:
    assert 5 < metrics.most_memory(os.getpid()) < 4096
