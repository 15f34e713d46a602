"""How long a process may believe that it leads."""

import time

import pytest

from batch_operator.cluster.lead import Lead, NotLeading, boot_time
from tests.unit.batch_operator.cluster.clocks import FakeTimers


@pytest.fixture
def clock() -> FakeTimers:
    return FakeTimers()


@pytest.fixture
def lead(clock: FakeTimers) -> Lead:
    return Lead(10, clock)


def test_nobody_leads_before_the_first_renewal(lead: Lead) -> None:
    assert (lead.taken, lead.held) == (False, False)
    with pytest.raises(NotLeading, match="not been taken"):
        lead.check()


def test_it_lasts_from_the_moment_at_which_the_renewal_was_sent(lead: Lead, clock: FakeTimers) -> None:
    sent = clock()
    clock.advance(4)
    lead.renewed(sent)
    assert (lead.held, lead.check()) == (True, 6)
    clock.advance(6)
    assert not lead.held
    with pytest.raises(NotLeading, match="last renewed 10 s ago, its deadline is 10 s"):
        lead.check()


def test_what_was_lost_no_late_answer_brings_back(lead: Lead, clock: FakeTimers) -> None:
    lead.renewed(clock())
    clock.advance(11)
    with pytest.raises(NotLeading):
        lead.check()
    lead.renewed(clock())
    assert (lead.taken, lead.held) == (True, False)
    with pytest.raises(NotLeading, match="last renewed 11 s ago"):
        lead.check()


def test_it_says_why_it_was_lost_first(lead: Lead, clock: FakeTimers) -> None:
    lead.renewed(clock())
    lead.lose("the lead is another's")
    lead.lose("something later")
    with pytest.raises(NotLeading, match="the lead is another's"):
        lead.check()


def test_the_clock_counts_a_suspended_machine_s_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def clock_gettime(clock: int) -> float:
        asked.append(clock)
        return 7.0

    monkeypatch.setattr(time, "clock_gettime", clock_gettime)
    assert boot_time() == 7.0
    assert asked == [getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)]
