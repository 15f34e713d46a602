import pytest

from batch_operator.scheduling.nodes import classes, unplaceable
from batch_operator.scheduling.observed import Node, PodSet
from tests.unit.batch_operator.scheduling.scenes import GPU

NODES = [
    Node("a", {GPU: 8000, "cpu": 64_000}, {"memory": "80000", "zone": "x", "name": "a"}),
    Node("b", {GPU: 8000, "cpu": 64_000}, {"memory": "80000", "zone": "x", "name": "b"}),
    Node("c", {GPU: 4000}, {"memory": "many"}),
]


@pytest.mark.parametrize(
    ("podset", "fits"),
    [
        (PodSet(9, ((GPU, 8000),)), True),
        (PodSet(1, ((GPU, 8001),)), False),
        (PodSet(0, ((GPU, 8001),)), True),
        (PodSet(1, ((GPU, 1000), ("rdma", 0))), True),
        (PodSet(1, ((GPU, 1000), ("rdma", 1))), False),
        (PodSet(1, ((GPU, 8000),), labels_above=(("memory", 79_999),)), True),
        (PodSet(1, ((GPU, 8000),), labels_above=(("memory", 80_000),)), False),
        (PodSet(1, ((GPU, 8000),), node_selector=(("zone", "x"),)), True),
        (PodSet(1, ((GPU, 8000),), node_selector=(("zone", "y"),)), False),
    ],
    ids=["all", "more", "no pod", "none of it", "lacks it", "above", "as much", "selected", "not selected"],
)
def test_whether_a_node_holds_it(podset: PodSet, fits: bool) -> None:
    assert (unplaceable([podset], classes(NODES, [podset])) == "") is fits


def test_labels_that_nobody_asks_about_make_no_class() -> None:
    assert len(classes(NODES, [PodSet(1, (), node_selector=(("zone", "x"),))])) == 2
    assert len(classes(NODES, [PodSet(1, (), node_selector=(("name", "a"),))])) == 3
