"""What counts as a queue move, how many come at once, which places are wrong."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.queue_load.moves import is_move, most_a_second, order_agreement, written_at, wrong_places

WAITS = {"status": "PENDING", "queue_position": 3, "queue_depth": 9, "message": "2 missing"}


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ({"queue_position": 2}, True),
        ({"queue_depth": 8, "message": "1 missing", "conditions": [], "updated_at": "later"}, True),
        ({}, False),
        ({"status": "ADMITTED"}, False),
        ({"queue_position": 2, "retry_count": 1}, False),
    ],
    ids=["place", "all-that-moves", "nothing", "admitted", "more-than-that"],
)
def test_a_move_tells_place_and_reason_only(change: dict[str, Any], moves: bool) -> None:
    assert is_move(WAITS, WAITS | change) is moves


def test_the_first_status_of_a_job_is_no_move() -> None:
    assert not is_move({}, WAITS)


def test_a_status_was_written_when_the_api_server_says_so() -> None:
    kept = [
        {"operation": "Update", "time": "2026-04-14T10:00:09Z"},
        {"operation": "Update", "subresource": "status", "time": "2026-04-14T10:00:05Z"},
        {"operation": "Apply", "subresource": "status", "time": "2026-04-14T10:00:07Z"},
    ]
    assert written_at({"metadata": {"managedFields": kept}}) == datetime(2026, 4, 14, 10, 0, 7, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("moments", "most"),
    [([], 0.0), ([1.0], 0.5), ([0.0, 1.9, 2.0, 3.9], 1.0), ([5.0, 0.0, 1.9, 0.1, 1.0], 2.0)],
    ids=["none", "one", "just-outside", "unordered"],
)
def test_the_most_writes_a_second_are_those_of_the_worst_span(moments: list[float], most: float) -> None:
    assert most_a_second(moments, 2.0) == most


def waiting(number: int, position: int, depth: int) -> dict[str, Any]:
    metadata = {"name": f"job-{number}", "uid": str(number), "creationTimestamp": f"2026-04-14T10:00:{number:02}Z"}
    return {"metadata": metadata, "status": {"queue_position": position, "queue_depth": depth}}


def test_places_follow_age_and_are_rounded_beyond_ten() -> None:
    line = [waiting(number, min(number + 1, 20) if number >= 10 else number + 1, 20) for number in range(12)]
    line[10]["status"]["queue_position"] = line[11]["status"]["queue_position"] = 20
    assert wrong_places(line) == []


def test_a_wrong_place_is_named() -> None:
    assert wrong_places([waiting(1, 1, 2), waiting(2, 1, 2)]) == ["job-2: told (1, 2), is (2, 2)"]


@pytest.mark.parametrize(
    ("other", "agreement"),
    [(["a", "b", "c"], 1.0), (["c", "b", "a"], 0.0), (["b", "a", "c"], 2 / 3), (["c", "x"], 1.0)],
    ids=["same", "reversed", "one-pair", "one-in-common"],
)
def test_orders_agree_by_the_part_of_their_pairs(other: list[str], agreement: float) -> None:
    assert order_agreement(["a", "b", "c"], other) == pytest.approx(agreement)
