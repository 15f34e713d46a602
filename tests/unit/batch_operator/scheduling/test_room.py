"""Queues that look at the nodes: who has room, who waits for it, for whom nodes are kept, who gives way."""

from datetime import timedelta
from typing import Any

import pytest

from batch_operator.api.v1alpha1.batch_queue import Preemption, QueueRecord, Strategy
from batch_operator.scheduling.decisions import Decisions, Shortage, Why
from batch_operator.scheduling.observed import DISPLACE_AFTER, ENDING_PATIENCE, Cluster, Holder, Node, PodSet
from batch_operator.scheduling.room import Room
from batch_operator.scheduling.schedule import schedule
from batch_operator.scheduling.words import words
from tests.builders import NOW
from tests.unit.batch_operator.scheduling.scenes import GPU, ago, big, cluster, holder, nodes, on, pods, queue, waiting

LOWER: dict[str, Any] = {"preemption": Preemption.LOWER_PRIORITY}
PATIENT: dict[str, Any] = {"reserve_after": timedelta(days=9)}
ENDS: dict[str, Any] = {"ending_since": NOW}


def looking(gpus: int | None = 64, **changes: Any) -> QueueRecord:
    return queue(gpus, require_matching_node=True, **changes)


def decided(seen: Cluster) -> Decisions:
    return schedule(seen)


def victims(found: Decisions) -> set[str]:
    return {victim.uid for victim in found.preempt}


class TestRoom:
    """One Room, asked directly."""

    def room(self, given: tuple[Node, ...], *holders: Holder, of: tuple[PodSet, ...] = ()) -> Room:
        return Room(given, holders, [of, *(h.pods for h in holders)], NOW, ENDING_PATIENCE)

    @pytest.mark.parametrize(
        ("asked", "fits"),
        [
            (big(2, 8), True),
            (big(3, 8), False),
            (big(4, 5), False),
            (big(5, 4), True),
            (big(6, 4), False),
            ((*big(1, 8), *big(3, 5)), False),
            ((*big(4, 3), *big(1, 8)), True),
            (big(3, 0), True),
            ((PodSet(1, ((GPU, 1000), ("rdma", 1))),), False),
            ((PodSet(1, ((GPU, 1000), ("rdma", 0))),), True),
            (big(1, 1, node_selector=(("zone", "x"),)), False),
            (big(1, 1, labels_above=(("memory", 9),)), False),
        ],
        ids=[
            "each on its own",
            "one too many",
            "the sum is not enough",
            "several on one",
            "4 and 3 are left",
            "two kinds that want the same room",
            "the largest first",
            "of nothing",
            "a resource that no node has",
            "none of it",
            "a label that no node has",
            "a number that no node has",
        ],
    )
    def test_whether_all_pods_have_room(self, asked: tuple[PodSet, ...], fits: bool) -> None:
        room = self.room(nodes(8, 8, 8), on("h", 1, "a"), of=asked)
        before = list(room.now.free)
        assert room.admit(asked) is fits
        assert fits or room.now.free == before

    def test_the_fullest_node_that_holds_it_is_taken(self) -> None:
        room = self.room(nodes(8, 8, 8), on("h", 5, "b"))
        assert room.admit(big(1, 2))
        assert [free[0] for free in room.now.free] == [8000, 1000, 8000]
        assert room.admit(big(1, 2))
        assert [free[0] for free in room.now.free] == [6000, 1000, 8000]

    def test_pods_without_a_node_take_theirs_first(self) -> None:
        """The job of higher priority before the other, and of what has no room nothing is counted."""
        room = self.room(nodes(8, 4), holder("low", pods=big(2, 8)), holder("high", pods=big(1, 3), priority=1))
        assert [free[0] for free in room.now.free] == [0, 1000]

    def test_only_some_pods_have_a_node(self) -> None:
        half = holder("h", pods=big(2, 4), placed=(("b", *big(1, 4)),))
        assert half.unplaced == big(1, 4)
        room = self.room(nodes(8, 8), half)
        assert [free[0] for free in room.now.free] == [8000, 0]

    def test_pods_on_a_node_that_is_not_known_take_nothing(self) -> None:
        assert self.room(nodes(8), on("h", 8, "x")).admit(big(1, 8))

    def test_a_node_that_is_not_ready_has_no_room(self) -> None:
        dead = Node("a", {GPU: 8000}, ready=False)
        room = self.room((dead,))
        assert not room.admit(big(1, 1))
        assert room.could_hold(big(1, 8)), "it will be back"

    def test_pods_are_counted_where_the_node_limits_them(self) -> None:
        room = self.room((Node("a", {GPU: 8000, "pods": 2000}), Node("b", {GPU: 8000})))
        assert room.admit(big(10, 1))
        assert not room.admit(big(1, 1))


class TestAdmission:
    def test_of_two_gangs_of_which_each_would_get_half_one_is_admitted(self) -> None:
        found = decided(
            cluster([waiting("a", pods=pods(2), age=9), waiting("b", pods=pods(2))], of=looking(), nodes=nodes(1, 1))
        )
        assert found.admit == ("b",)
        assert found.pending["a"].why is Why.WAITING_FOR_QUOTA

    def test_the_sum_of_what_is_free_is_not_enough(self) -> None:
        held = [on("h", 4, "ab")]
        assert decided(cluster([waiting("w", pods=big(1, 8))], held, of=queue(64), nodes=nodes(8, 8))).admit == ("w",)
        found = decided(cluster([waiting("w", pods=big(1, 8))], held, of=looking(**PATIENT), nodes=nodes(8, 8)))
        assert found.admit == ()
        assert found.pending["w"].no_room == (Shortage(1, ((GPU, 8000),), 8000, 2),)
        assert words(found.pending["w"]) == "no room on the nodes: a pod of 8 nvidia.com/gpu, 8 free on 2 nodes"

    @pytest.mark.parametrize(
        ("asked", "held", "said"),
        [
            (big(2, 8), [on("h", 1, "a")], "2 pods of 8 nvidia.com/gpu each, 15 free on 2 nodes"),
            (big(1, 4), [on("h", 5, "a"), on("i", 8, "b")], "a pod of 4 nvidia.com/gpu, 3 free on 1 node"),
            (big(1, 4), [on("h", 8, "ab")], "a pod of 4 nvidia.com/gpu, none free"),
            (
                (*big(1, 8), *big(2, 4)),
                [on("h", 1, "a")],
                "a pod of 8 nvidia.com/gpu, 15 free on 2 nodes; 2 pods of 4 nvidia.com/gpu each, 15 free on 2 nodes",
            ),
            (
                (*big(1, 8), *big(2, 1)),
                [on("h", 1, "ab")],
                "a pod of 8 nvidia.com/gpu, 14 free on 2 nodes",
            ),
        ],
        ids=["several", "one node", "full", "kinds that want the same room", "the kind that lacks it"],
    )
    def test_what_is_said(self, asked: tuple[PodSet, ...], held: list[Holder], said: str) -> None:
        found = decided(cluster([waiting("w", pods=asked)], held, of=looking(None, **PATIENT), nodes=nodes(8, 8)))
        assert words(found.pending["w"]) == f"no room on the nodes: {said}"

    def test_who_lacks_quota_is_told_of_that(self) -> None:
        found = decided(cluster([waiting("w", 4)], [on("h", 6, "a")], of=looking(8), nodes=nodes(8)))
        assert words(found.pending["w"]).startswith("2 nvidia.com/gpu missing")

    def test_pods_that_never_have_room_together_are_in_no_line(self) -> None:
        found = decided(cluster([waiting("w", pods=big(3, 8))], of=looking(), nodes=nodes(8, 8)))
        assert found.pending["w"].why is Why.NO_MATCHING_NODE
        assert "w" not in found.positions
        assert words(found.pending["w"]) == (
            "the nodes that are there could not hold all its pods at once (3 with 8 nvidia.com/gpu)"
        )

    def test_queues_share_the_nodes(self) -> None:
        other = queue(64, name="other")
        seen = cluster(
            [waiting("w", pods=big(1, 8)), waiting("o", pods=big(1, 1), queue="other")], of=looking(), nodes=nodes(8)
        )
        known = {"research": seen.queues["research"], "other": other}
        found = decided(Cluster(NOW, known, seen.kinds, nodes=seen.nodes))
        assert found.admit == ("o",), "who does not look comes first: nothing keeps it waiting"

    def test_strict_fifo_stops_at_one_that_has_no_room(self) -> None:
        jobs = [waiting("w", pods=big(1, 8), age=900), waiting("small")]
        of = looking(strategy=Strategy.STRICT_FIFO)
        found = decided(cluster(jobs, [on("h", 4, "ab")], of=of, nodes=nodes(8, 8)))
        assert found.admit == ()
        assert "behind team-a/job-w" in words(found.pending["small"])


class TestReservation:
    def found(self, *jobs: Any, held: list[Holder], given: tuple[Node, ...], **changes: Any) -> Decisions:
        return decided(cluster(jobs, held, of=looking(**changes), nodes=given))

    def test_the_node_on_which_least_has_to_end_is_kept(self) -> None:
        held = [on("h", 2, "a"), on("i", 5, "b")]
        large = waiting("large", pods=big(1, 8), age=9000)
        small = [waiting(f"s{n}", pods=big(1, 2)) for n in range(3)]
        found = self.found(large, *small, held=held, given=nodes(8, 8))
        assert found.reservations["research"].uid == "large"
        assert found.admit == ("s0",), "3 are free on b, and the 6 of a are kept"
        assert words(found.pending["s1"]).endswith(
            "3 free on 1 node; some is kept for a job that waited longer"
        ) or words(found.pending["s1"]).endswith("1 free on 1 node; some is kept for a job that waited longer")

    def test_quota_is_kept_for_what_is_free_there_alone(self) -> None:
        """The other half comes with the pods that end there; 6 of 10 may be used."""
        held = [on("h", 4, "a"), on("i", 2, "b")]
        large = waiting("large", pods=big(1, 8), age=9000)
        found = self.found(large, held=held, given=nodes(8, 8), gpus=16)
        assert found.reservations["research"].held == {GPU: 6000}

    def test_it_takes_as_many_nodes_as_it_needs(self) -> None:
        held = [on("h", 2, "a"), on("i", 1, "b"), on("j", 7, "c")]
        large = waiting("large", pods=big(2, 8), age=9000)
        small = [waiting(f"s{n}") for n in range(2)]
        found = self.found(large, *small, held=held, given=nodes(8, 8, 8))
        assert found.admit == ("s0",)


class TestPreemption:
    def found(
        self, *held: Holder, asked: tuple[PodSet, ...] = big(1, 8), of: QueueRecord | None = None, **more: Any
    ) -> Decisions:
        job = waiting("w", pods=asked, priority=1)
        return decided(cluster([job], held, **{"of": of or looking(**LOWER), "nodes": nodes(8, 8), **more}))

    def test_victims_make_room_on_one_node(self) -> None:
        """The newest two would give as much, one on each."""
        held = [
            on("a1", 4, "a", age=500),
            on("b1", 4, "b", age=400),
            on("a2", 4, "a", age=300),
            on("b2", 4, "b", age=200),
        ]
        assert victims(self.found(*held)) == {"b1", "b2"}

    def test_a_node_with_smaller_victims_is_taken_first(self) -> None:
        held = [on("a", 4, "a", age=900), on("b", 8, "b", age=300)]
        assert victims(self.found(*held)) == {"a"}

    def test_but_not_one_with_dearer_victims(self) -> None:
        held = [on("a", 4, "a", age=900, preemptions=2), on("b", 8, "b", age=300), on("x", 0, "", priority=3)]
        assert victims(self.found(*held, asked=big(1, 8))) == {"b"}

    def test_none_is_touched_where_that_is_not_enough(self) -> None:
        held = [on("a", 4, "a"), on("keep", 1, "a", priority=1), on("b", 4, "b"), on("stay", 1, "b", priority=1)]
        found = self.found(*held)
        assert victims(found) == set()
        assert found.pending["w"].why is Why.WAITING_FOR_QUOTA

    def test_who_runs_too_short_stays(self) -> None:
        of = looking(**LOWER, min_runtime=timedelta(seconds=500))
        assert victims(self.found(on("a", 4, "a", age=300), on("b", 8, "b", age=600), of=of)) == {"b"}

    def test_a_gang_takes_several_nodes(self) -> None:
        held = [on("a", 1, "a"), on("b", 2, "b"), on("c", 3, "c")]
        assert victims(self.found(*held, asked=big(2, 8), nodes=nodes(8, 8, 8))) == {"a", "b"}

    def test_of_one_node_the_dearest_are_spared(self) -> None:
        held = [on("x", 2, "a", age=100), on("y", 2, "a", age=200), on("z", 6, "a", age=300)]
        assert victims(self.found(*held, nodes=nodes(10))) == {"x", "z"}

    def test_one_that_gives_enough_for_all_pods_goes_alone(self) -> None:
        held = [on("half", 4, "a"), on("stays", 4, "a", priority=1), on("whole", 8, "b")]
        assert victims(self.found(*held, asked=big(2, 4))) == {"whole"}

    def test_who_was_spared_is_counted_once(self) -> None:
        """Of node a, 7 can come free: one pod, however the victims are put together."""
        held = [on("spared", 1, "a", age=100), on("goes", 4, "a", age=200), on("more", 2, "a", age=300)]
        other = [on("too", 4, "b", age=900), on("keep", 4, "b", priority=1), on("stay", 1, "a", priority=1)]
        assert victims(self.found(*held, *other, asked=big(2, 4))) == {"goes", "too"}

    def test_two_share_what_one_gives_up(self) -> None:
        jobs = [waiting(uid, pods=big(1, 4), priority=1) for uid in ("v", "w")]
        held = [on("a", 8, "a", age=100), on("b", 8, "b", age=900)]
        found = decided(cluster(jobs, held, of=looking(**LOWER), nodes=nodes(8, 8)))
        assert victims(found) == {"a"}
        assert found.claims == ("v", "w")

    def test_each_gets_the_node_on_which_its_own_victims_end(self) -> None:
        """The other one would be the fuller of the two, and its preemptor can go nowhere else."""
        zones = (Node("a", {GPU: 8000}), Node("b", {GPU: 8000}, {"zone": "b"}))
        held = [on("a", 8, "a", preempted_for="w", **ENDS), on("b", 6, "b", preempted_for="z", **ENDS)]
        held.append(on("stays", 2, "b", priority=9))
        bound = big(1, 6, node_selector=(("zone", "b"),))
        jobs = [waiting("w", pods=big(1, 6), priority=1), waiting("z", pods=bound, priority=1)]
        assert decided(cluster(jobs, held, of=looking(**LOWER), nodes=zones)).claims == ("w", "z")

    def test_several_kinds_of_pods_have_room_together(self) -> None:
        held = [on("a", 8, "a"), on("b", 8, "b")]
        assert victims(self.found(*held, asked=(*big(1, 8), *big(1, 6)))) == {"a", "b"}

    @pytest.mark.parametrize(
        ("quota", "gone"),
        [(18, {"b"}), (16, {"b"}), (14, {"b", "c", "d"}), (13, set())],
        ids=["room alone", "who makes room gives the quota", "others give the rest of it", "not enough"],
    )
    def test_quota_and_room_together(self, quota: int, gone: set[str]) -> None:
        held = [on("a", 6, "a", priority=1), on("b", 2, "b", age=900), on("c", 1, "c"), on("d", 1, "d")]
        assert victims(self.found(*held, of=looking(quota, **LOWER), nodes=nodes(8, 8, 1, 1))) == gone

    def test_where_quota_alone_lacks_it_is_as_ever(self) -> None:
        held = [on("a", 4, "a", age=900), on("b", 4, "b", age=100)]
        assert victims(self.found(*held, asked=big(1, 4), of=looking(8, **LOWER))) == {"b"}

    def test_what_is_being_ended_makes_room(self) -> None:
        found = self.found(on("a", 8, "a", **ENDS), on("b", 8, "b"))
        assert victims(found) == set()
        assert found.pending["w"].why is Why.WAITING_FOR_PREEMPTION

    def test_nobody_else_gets_the_node_that_comes_free(self) -> None:
        held = [on("a", 4, "a", preempted_for="w", **ENDS), on("b", 6, "b", priority=1)]
        jobs = [waiting("w", pods=big(1, 8), priority=1), *(waiting(f"s{n}", pods=big(1, 2)) for n in range(2))]
        found = decided(cluster(jobs, held, of=looking(**LOWER), nodes=nodes(8, 8)))
        assert victims(found) == set()
        assert found.admit == ("s0",), "on b; the 4 that are free on a are kept"

    def test_nor_what_is_free_there_before_the_victims_have_to_go(self) -> None:
        held = [on("a", 4, "a"), on("b", 6, "b", priority=1)]
        jobs = [
            waiting("w", pods=big(1, 8), priority=1, age=60),
            *(waiting(f"s{n}", pods=big(1, 2)) for n in range(2)),
        ]
        found = decided(cluster(jobs, held, of=looking(16, **LOWER), nodes=nodes(8, 8)))
        assert (victims(found), found.admit, found.claims) == (set(), ("s0",), ("w",))
        assert found.next_at == ago(60) + DISPLACE_AFTER

    def test_two_do_not_count_upon_the_same_node(self) -> None:
        held = [on("a", 8, "a", age=100), on("b", 8, "b", age=900)]
        jobs = [waiting(uid, pods=big(1, 8), priority=1) for uid in ("v", "w", "x")]
        found = decided(cluster(jobs, held, of=looking(**LOWER), nodes=nodes(8, 8)))
        assert [(v.uid, v.preemptor) for v in found.preempt] == [("a", "v"), ("b", "w")]
        assert found.pending["x"].why is Why.WAITING_FOR_QUOTA
