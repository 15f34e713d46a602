"""Simulated time moves only when told to, and calls what is due in order."""

from tests.fakes.clock import SimulatedClock


def test_alarms_ring_in_order_and_a_cancelled_one_never() -> None:
    clock, rung = SimulatedClock(), []
    clock.call_after(2, lambda: rung.append(("second", clock.time())))
    clock.call_after(1, lambda: rung.append(("first", clock.time())))
    clock.call_after(1.5, lambda: rung.append(("never", clock.time()))).cancel()
    clock.advance(1.9)
    assert rung == [("first", 1.0)]
    assert clock.next_alarm() == 2.0
    clock.advance(1)
    assert rung[1:] == [("second", 2.0)]
    assert clock.time() == 2.9


def test_an_alarm_may_set_another_that_is_due_at_once() -> None:
    clock, rung = SimulatedClock(), []
    clock.call_after(1, lambda: clock.call_after(1, lambda: rung.append(clock.time())))
    clock.advance(5)
    assert rung == [2.0]


def test_timestamps_have_whole_seconds() -> None:
    clock = SimulatedClock()
    clock.advance(61.7)
    assert (clock.timestamp(), clock.timestamp(30)) == ("2026-04-14T10:01:01Z", "2026-04-14T10:01:31Z")
