from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import kopf
import pytest

from tests.bench.contender import JOB_NAME, Shape
from tests.bench.contenders.plain_kopf.contender import PlainKopf


@pytest.fixture
def plain_operator() -> Iterator[ModuleType]:
    """Its handlers go into a registry of their own."""
    before = kopf.get_default_registry()
    kopf.set_default_registry(kopf.OperatorRegistry())
    try:
        yield import_module("tests.bench.contenders.plain_kopf.plain_operator")
    finally:
        kopf.set_default_registry(before)


@pytest.mark.parametrize(
    ("seen", "phase"),
    [
        ({}, "Pending"),
        ({"Pending": 3}, "Pending"),
        ({"Pending": 2, "Running": 1}, "Running"),
        ({"Succeeded": 2}, "Running"),
        ({"Succeeded": 3}, "Succeeded"),
        ({"Succeeded": 2, "Failed": 1}, "Failed"),
    ],
)
def test_phase_of_three_pods(plain_operator: ModuleType, seen: dict[str, int], phase: str) -> None:
    assert plain_operator.phase_of(Counter(seen), 3) == phase


def test_the_template_is_that_of_the_other_peers() -> None:
    spec = PlainKopf().manifest(JOB_NAME % 7, Shape(4, 0.2))["spec"]
    assert spec["pods"] == 4
    assert spec["template"]["containers"][0]["image"] == "example.org/bench:200ms"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [({}, ""), ({"phase": "Running"}, ""), ({"phase": "Succeeded"}, "succeeded")],
)
def test_outcome(status: dict[str, str], outcome: str) -> None:
    assert PlainKopf().outcome({"status": status}) == outcome


def test_a_failed_job_says_so() -> None:
    assert "failed" in PlainKopf().outcome({"status": {"phase": "Failed"}})
