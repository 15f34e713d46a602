"""Who leads, under whatever goes wrong; at every step at most one does (candidates.Candidates.leader)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from batch_operator.cluster.election import Terms
from batch_operator.cluster.lead import NotLeading
from batch_operator.cluster.resource_paths import CONFIG_MAPS
from tests.fakes.resource_types import Object
from tests.unit.batch_operator.cluster.candidates import PATH, PLACE, Candidate, Candidates

LEASE, DEADLINE, RETRY = Terms().lease, Terms().renew_deadline, Terms().retry
DAY = timedelta(days=1)


@pytest.fixture
async def place() -> AsyncIterator[Candidates]:
    async with Candidates() as place:
        yield place


@pytest.fixture
async def two(place: Candidates) -> tuple[Candidate, Candidate]:
    """`a` has led for a while, `b` waits."""
    a, b = await place.start("a"), await place.start("b")
    assert await place.run_for(5) == {"a"}
    return a, b


class TestTaking:
    async def test_the_first_one_leads_at_once_where_nobody_ever_did(self, place: Candidates) -> None:
        a = await place.start("a")
        assert place.leader == "a"
        assert a.election.trouble() is None
        spec = place.lease["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("a", 15, 1)
        assert spec["acquireTime"] == spec["renewTime"] == "2026-04-14T10:00:00.000000Z"

    async def test_also_on_the_empty_lease_that_the_chart_makes(self, place: Candidates) -> None:
        place.server.create(PATH.rsplit("/", 1)[0], {"metadata": {"name": PLACE[1], "labels": {"made": "by-helm"}}})
        await place.start("a")
        assert place.leader == "a"
        assert place.lease["metadata"]["labels"] == {"made": "by-helm"}

    async def test_of_two_that_start_together_one_leads(self, place: Candidates) -> None:
        for name in ("a", "b", "c"):
            await place.start(name)
        assert len(await place.run_for(60)) == 1

    async def test_while_it_is_renewed_nobody_else_leads(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        assert await place.run_for(300) == {"a"}
        assert place.lease["spec"]["leaseTransitions"] == 1

    async def test_after_a_kill_the_next_one_waits_a_whole_term_and_no_longer(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        two[0].kill()
        assert LEASE - RETRY <= await place.until_leader("b") <= LEASE + RETRY + 0.5
        assert place.lease["spec"]["leaseTransitions"] == 2

    async def test_what_is_given_away_is_taken_at_the_next_look(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        two[0].task.cancel()
        await two[0].election.release()
        with pytest.raises(NotLeading, match="given away"):
            two[0].lead.check()
        assert await place.until_leader("b") <= RETRY

    async def test_also_where_it_was_touched_since_the_last_renewal(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        two[0].task.cancel()
        place.server.patch(PATH, {"metadata": {"labels": {"helm.sh/chart": "newer"}}})
        await two[0].election.release()
        assert await place.until_leader("b") <= RETRY
        assert place.lease["metadata"]["labels"] == {"helm.sh/chart": "newer"}

    async def test_nobody_gives_away_what_is_another_s(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        two[0].task.cancel()
        lease = place.lease
        place.server.update(PATH, {**lease, "spec": {**lease["spec"], "holderIdentity": "usurper"}})
        await two[0].election.release()
        assert place.lease["spec"]["holderIdentity"] == "usurper"

    async def test_a_restarted_container_takes_its_own_lease_again_at_once(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        two[0].kill()
        await place.start("a")
        assert place.leader == "a"
        assert place.lease["spec"]["leaseTransitions"] == 1

    async def test_the_holder_s_own_term_is_honoured_where_it_is_longer(self, place: Candidates) -> None:
        spec = {"holderIdentity": "old", "leaseDurationSeconds": 40, "renewTime": "2020-01-01T00:00:00.000000Z"}
        place.server.create(PATH.rsplit("/", 1)[0], {"metadata": {"name": PLACE[1]}, "spec": spec})
        await place.start("a")
        assert 40 <= await place.until_leader("a") <= 40 + RETRY

    async def test_who_cannot_ask_says_so_and_goes_on_asking(self, place: Candidates) -> None:
        a = await place.start("a")
        a.kill()
        b = await place.start("b")
        b.reaches_server = False
        assert await place.run_for(60) == {""}
        assert b.election.trouble() == "cannot ask for the lead: no route to the API server"
        b.reaches_server = True
        await place.until_leader("b", at_most=RETRY + 1)
        assert b.election.trouble() is None


class TestClocks:
    @pytest.mark.parametrize("whose", [0, 1], ids=["leader", "waiting"])
    @pytest.mark.parametrize("step", [DAY, -DAY], ids=["a-day-ahead", "a-day-back"])
    async def test_a_step_of_the_wall_clock_neither_loses_nor_doubles_the_lead(
        self, place: Candidates, two: tuple[Candidate, Candidate], whose: int, step: timedelta
    ) -> None:
        two[whose].skew = step
        assert await place.run_for(120) == {"a"}
        two[0].kill()
        assert LEASE - RETRY <= await place.until_leader("b") <= LEASE + RETRY + 0.5

    async def test_a_clock_that_steps_back_at_each_renewal_is_no_dead_leader(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        for _ in range(30):
            two[0].skew -= timedelta(seconds=RETRY)
            assert await place.run_for(RETRY) == {"a"}


class TestTrouble:
    async def test_a_leader_that_cannot_renew_ends_before_another_begins(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        a, _ = two
        a.reaches_server = False
        began = place.server.clock.time()
        await place.run_for(DEADLINE + 0.5)
        assert place.leader == ""
        assert a.ended.startswith("the lead was last renewed 10 s ago")
        await place.until_leader("b")
        assert place.server.clock.time() - began >= LEASE - RETRY

    async def test_a_short_outage_costs_nothing(self, place: Candidates, two: tuple[Candidate, Candidate]) -> None:
        for candidate in two:
            candidate.reaches_server = False
        assert await place.run_for(DEADLINE - 2 * RETRY) == {"a"}
        assert two[0].election.trouble() == "cannot renew the lead: no route to the API server"
        for candidate in two:
            candidate.reaches_server = True
        assert await place.run_for(60) == {"a"}
        assert two[0].election.trouble() is None

    async def test_renewals_whose_answers_are_lost_do_not_count(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        two[0].loses_answers = True
        assert await place.run_for(DEADLINE - 2 * RETRY) == {"a"}
        two[0].loses_answers = False
        assert await place.run_for(DEADLINE) == {"a"}, "its next write meets 409, and its own name"
        two[0].loses_answers = True
        await place.run_for(DEADLINE + 0.5)
        assert two[0].ended

    async def test_a_renewal_that_another_s_name_refuses_ends_it_at_once(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        lease = place.lease
        place.server.update(PATH, {**lease, "spec": {**lease["spec"], "holderIdentity": "usurper"}})
        await place.run_for(RETRY)
        assert two[0].ended == "the lead is usurper's (Lease team-a/batch-operator)"

    @pytest.mark.parametrize(
        "meddle",
        [
            lambda place: place.server.patch(PATH, {"metadata": {"labels": {"touched": "yes"}}}),
            lambda place: place.server.patch(PATH, {"spec": None}),
            lambda place: place.server.delete(PATH),
        ],
        ids=["touched", "emptied", "deleted"],
    )
    async def test_a_lease_that_somebody_meddles_with_stays_its_leader_s(
        self, place: Candidates, two: tuple[Candidate, Candidate], meddle: Callable[[Candidates], Object]
    ) -> None:
        for _ in range(10):
            meddle(place)
            assert await place.run_for(3) == {"a"}
        assert place.lease["spec"]["holderIdentity"] == "a"

    async def test_an_emptied_lease_is_nobody_s_only_after_a_term(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        two[0].reaches_server = False
        place.server.patch(PATH, {"spec": None})
        assert await place.until_leader("b") >= LEASE


class TestPaused:
    async def test_one_that_wakes_too_late_ends_and_writes_nothing(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        a, _ = two
        a.pause()
        await place.until_leader("b")
        written = len(a.client.sent)
        a.resume()
        assert not a.lead.held, "known before anything runs"
        with pytest.raises(NotLeading, match="last renewed 1[5-9] s ago, its deadline is 10 s"):
            await a.guarded.create(CONFIG_MAPS.path(PLACE[0]), {"metadata": {"name": "late"}})
        assert await place.run_for(30) == {"b"}
        assert a.ended
        assert len(a.client.sent) == written
        assert a.guarded.sent == []

    async def test_one_that_wakes_in_time_goes_on(self, place: Candidates, two: tuple[Candidate, Candidate]) -> None:
        two[0].pause()
        await place.run_for(DEADLINE - RETRY - 0.5)
        two[0].resume()
        assert await place.run_for(60) == {"a"}

    async def test_stopped_in_the_middle_of_a_renewal_it_does_not_win_the_lead_back(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        a, _ = two
        a.pause()
        renewal = asyncio.create_task(a.election.renew())  # past its own check, and stopped before it is sent
        await place.until_leader("b")
        acquired = place.lease["spec"]["acquireTime"]
        a.resume()
        with pytest.raises(NotLeading, match="the lead is b's"):
            await renewal
        assert await place.run_for(20) == {"b"}
        assert place.lease["spec"]["acquireTime"] == acquired

    async def test_a_waiting_one_that_wakes_believes_no_old_sight(
        self, place: Candidates, two: tuple[Candidate, Candidate]
    ) -> None:
        _, b = two
        b.pause()
        await place.run_for(10 * LEASE)
        b.resume()
        assert await place.run_for(30) == {"a"}
