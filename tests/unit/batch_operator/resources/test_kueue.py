"""Pods as Kueue must find them."""

import pytest

from batch_operator.api.v1alpha1.batchjob import HandedOver
from batch_operator.resources.kueue import marked

MANIFEST = {"metadata": {"name": "p", "labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {"containers": []}}
QUEUE, GROUP = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/pod-group-name"
IN_GROUP = {"kueue.x-k8s.io/pod-group-total-count": "3", "kueue.x-k8s.io/retriable-in-group": "false"}


@pytest.mark.parametrize(
    ("given", "is_replacement", "labels", "annotations"),
    [
        (HandedOver(queue="gpu", group="g", pods=3), False, {QUEUE: "gpu", GROUP: "g"}, IN_GROUP),
        (HandedOver(queue="gpu", group="g", pods=3), True, {QUEUE: "gpu"}, {}),
        (HandedOver(queue="gpu"), False, {QUEUE: "gpu"}, {}),
    ],
    ids=["of the group", "a replacement", "alone"],
)
def test_label_and_annotation(
    given: HandedOver, is_replacement: bool, labels: dict[str, str], annotations: dict[str, str]
) -> None:
    pod = marked(MANIFEST, given, is_replacement=is_replacement)
    assert pod["metadata"]["labels"] == {"a": "b", **labels}
    assert pod["metadata"]["annotations"] == {"c": "d", **annotations}
    assert pod["spec"] == MANIFEST["spec"]
    assert MANIFEST["metadata"] == {"name": "p", "labels": {"a": "b"}, "annotations": {"c": "d"}}, "left as it was"
