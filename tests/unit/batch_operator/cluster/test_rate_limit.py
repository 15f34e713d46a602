import pytest

from batch_operator.cluster.rate_limit import TokenBucket
from tests.unit.batch_operator.cluster.clocks import FakeTimers


def test_a_burst_and_then_the_rate() -> None:
    clock = FakeTimers()
    bucket = TokenBucket(rate=2, burst=3, clock=clock)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    assert bucket.seconds_to_next() == 0.5
    clock.advance(0.4)
    assert not bucket.take()
    clock.advance(0.1)
    assert bucket.take()
    assert not bucket.take()


def test_a_long_rest_saves_up_no_more_than_the_burst() -> None:
    clock = FakeTimers()
    bucket = TokenBucket(rate=2, burst=3, clock=clock)
    clock.advance(3600)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("rate", [3.0, 7.0, 10.0])
def test_one_who_comes_back_as_told_gets_a_token(rate: float) -> None:
    clock = FakeTimers()
    bucket = TokenBucket(rate, rate, clock)
    clock.advance(1e6)
    while bucket.take():
        continue
    for _ in range(1000):
        clock.advance(bucket.seconds_to_next())
        assert bucket.take()
