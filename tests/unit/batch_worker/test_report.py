import json

import pytest

from batch_worker.report import State, encode, termination_message


def test_the_body_is_the_whole_state() -> None:
    state = State(range(5))
    state.start(0)
    state.complete(0, done=10, failed=1)
    state.start(1)
    state.fail(1, "column  x is\n text")
    state.start(2)
    state.advance(7, 2)
    assert state.body() == {
        "completed": "0",
        "processing": "2",
        "failed": "1",
        "reasons": {"1": "column x is text"},
        "items": {"done": 17, "total": None, "failed": 3},
    }


def test_the_total_is_known_once_every_input_has_ended() -> None:
    state = State([4])
    state.start(4)
    state.complete(4, done=3, failed=2)
    assert state.body()["items"] == {"done": 3, "total": 5, "failed": 2}


def test_items_of_a_failed_input_do_not_count() -> None:
    state = State([0, 1])
    state.start(0)
    state.advance(9, 9)
    state.fail(0, "why")
    assert state.body()["items"]["done"] == 0


def test_at_most_ten_reasons_of_120_characters() -> None:
    state = State(range(30))
    for number in range(30):
        state.fail(number, "x" * 500)
    reasons = state.body()["reasons"]
    assert list(reasons) == [str(number) for number in range(10)]
    assert {len(reason) for reason in reasons.values()} == {120}


def test_an_end_is_told_apart_from_progress() -> None:
    state = State([0, 1])
    state.start(0)
    state.advance(1, 0)
    assert state.ended == 0
    state.complete(0, 1, 0)
    assert state.ended == 1


def test_the_termination_message_drops_reasons_from_the_last() -> None:
    state = State(range(20))
    for number in range(20):
        state.fail(number, "ü" * 120)
    message = json.loads(termination_message(state.body(), limit=1_200))
    assert list(message["reasons"]) == ["0", "1", "2", "3"]
    assert message["failed"] == "0-19"


def test_an_error_survives_before_everything_else() -> None:
    state = State(range(20))
    for number in range(20):
        state.fail(number, "r" * 120)
    state.error("INVALID_REQUEST", "m" * 5000, "s" * 5000)
    raw = termination_message(state.body())
    message = json.loads(raw)
    assert len(raw) <= 3_500
    assert message["error"]["code"] == "INVALID_REQUEST"
    assert message["error"]["message"].startswith("mmm")


@pytest.mark.parametrize("inputs", [10, 500, 1_000, 10_000])
def test_the_termination_message_is_whole_json_or_nothing(inputs: int) -> None:
    state = State(range(inputs))
    for number in range(inputs):
        if number % 2:
            state.fail(number, "every second one")
        else:
            state.complete(number, 1, 0)
    raw = termination_message(state.body())
    assert len(raw) <= 3_500
    if raw:
        assert json.loads(raw)["completed"] == state.body()["completed"]
    assert bool(raw) == (inputs <= 1_000)


def test_a_report_of_ten_thousand_scattered_inputs_fits_the_endpoint() -> None:
    state = State(range(10_000))
    for number in range(0, 10_000, 2):
        state.complete(number, 1, 0)
        state.fail(number + 1, "x")
    assert len(encode(state.body())) <= 64 * 1024
