"""The simulator by itself, and a short week with the bars of `make simulate`."""

import pytest

from batch_operator.api.v1alpha1.batch_queue import Preemption, QueueRecord
from tests.simulate.load import Arrival
from tests.simulate.nodes import GPUS_EACH, NODES, Nodes
from tests.simulate.policies import POLICIES, Week
from tests.simulate.report import BEGIN, END, bars, page
from tests.simulate.world import GRACE, INPUT_SECONDS, World
from tests.unit.batch_operator.scheduling.scenes import queue

LOWER = queue(8, preemption=Preemption.LOWER_PRIORITY)


def week(*arrivals: tuple[float, int, float, int], of: QueueRecord = LOWER, nodes: Nodes | None = None) -> World:
    """(at, GPUs, seconds, priority), uids 0, 1, …"""
    made = [Arrival(str(n), at, gpus, secs, "team-a", prio) for n, (at, gpus, secs, prio) in enumerate(arrivals)]
    world = World(of, made, nodes=nodes)
    world.run()
    return world


def test_a_preempted_job_repeats_the_input_at_hand() -> None:
    world = week((0, 8, 4000, 0), (1000, 8, 100, 5))
    low, high = world.runs["0"], world.runs["1"]
    displaced = 1000 + 120
    assert high.waited == 120 + GRACE
    assert low.lost == 8 * (displaced % INPUT_SECONDS + GRACE)
    assert low.lost_if_nothing_kept == 8 * (displaced + GRACE)
    assert low.waited == GRACE + 100
    assert low.ended_at == 4000 + low.lost / 8 + 100
    assert (low.preemptions, high.preemptions) == (1, 0)


def test_a_job_without_a_place_goes_back_into_the_queue() -> None:
    """Two nodes of eight are half full: eight GPUs are free, and no node has them."""
    nodes = Nodes(spread=True, free=[8, 8])
    world = week((0, 4, 900, 0), (0, 4, 900, 0), (1, 8, 100, 0), of=queue(16), nodes=nodes)
    run = world.runs["2"]
    assert run.start_timeouts == 1
    assert run.waited == 900 - 1
    assert run.ended_at == 1000


@pytest.mark.parametrize(("spread", "left"), [(False, [1, 8]), (True, [4, 5])], ids=["full first", "empty first"])
def test_places(spread: bool, left: list[int]) -> None:
    nodes = Nodes(spread=spread, free=[GPUS_EACH] * 2)
    nodes.create("a", 4, 0)
    nodes.create("b", 3, 0)
    assert nodes.schedule() == ["a", "b"]
    assert sorted(nodes.free) == left


def test_a_job_of_two_pods_has_its_place_once_both_have() -> None:
    nodes = Nodes(free=[8, 4])
    nodes.create("big", 16, 0)
    assert nodes.schedule() == []
    nodes.free[1] += 4
    assert nodes.schedule() == ["big"]
    nodes.delete("big")
    assert nodes.free == [8, 8]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("load", [0.95, 1.2], ids=str)
def test_the_bars_hold_for_a_day(load: float) -> None:
    """`make simulate` plays ten weeks; this takes a few seconds, more on a machine without a free core."""
    found = {name: [Week(name, load, 0, 1500, False).simulate()] for name in POLICIES}
    fallen = [line for held, line in bars(load, found) if not held]
    assert not fallen


def test_a_day_on_nodes_ends() -> None:
    found = Week("ours", 0.95, 0, 500, True).simulate()
    assert NODES * GPUS_EACH == 64
    assert found.utilisation > 0.5
    assert found.start_timeouts == 0


def test_figures_go_between_the_markers() -> None:
    assert page(f"a\n{BEGIN}\nold\n{END}\nb\n", "new") == f"a\n{BEGIN}\nnew\n{END}\nb\n"


@pytest.mark.parametrize("text", ["", f"{END} {BEGIN}", f"{BEGIN}{BEGIN}{END}"], ids=["none", "swapped", "twice"])
def test_a_page_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it takes one line"):
        page(text, "new")
