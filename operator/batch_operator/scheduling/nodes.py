"""Whether a node that is there could hold a pod, if it were empty.

Aggregate quota says nothing of that: 4 + 4 free GPUs never hold a pod of 8. What else runs on a node is the
cluster's scheduler's to know.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from batch_operator.api import quantities
from batch_operator.scheduling.observed import Node, PodSet


@dataclass(frozen=True, slots=True)
class NodeClass:
    """Nodes that are alike in everything that the pods ask about."""

    allocatable: dict[str, int]
    labels: dict[str, str]


def classes(nodes: Iterable[Node], pods: Iterable[PodSet]) -> list[NodeClass]:
    """A thousand nodes are a handful of classes, once labels that nobody selects by are left out."""
    asked = {key for p in pods for key, _ in (*p.node_selector, *p.labels_above)}
    found: dict[tuple[tuple[tuple[str, int], ...], tuple[tuple[str, str], ...]], NodeClass] = {}
    for node in nodes:
        labels = {key: node.labels[key] for key in sorted(asked) if key in node.labels}
        key = (tuple(sorted(node.allocatable.items())), tuple(labels.items()))
        if key not in found:
            found[key] = NodeClass(dict(node.allocatable), labels)
    return list(found.values())


def unplaceable(pods: Iterable[PodSet], known: list[NodeClass]) -> str:
    """Words for the pod that no node could hold; "" where each has one."""
    for podset in pods:
        if podset.count and not any(holds(node, podset) for node in known):
            return f"no node that is there could hold a pod with {_words(podset)}"
    return ""


def too_few(pods: Iterable[PodSet]) -> str:
    """Words for pods of which each would find a node, but not all of them at once."""
    asked = " and ".join(f"{podset.count} with {_words(podset)}" for podset in pods if podset.count)
    return f"the nodes that are there could not hold all its pods at once ({asked})"


def holds(node: NodeClass, podset: PodSet) -> bool:
    """If it were empty."""
    return (
        all(node.labels.get(key) == value for key, value in podset.node_selector)
        and all(_number(node.labels.get(key)) > least for key, least in podset.labels_above)
        and all(node.allocatable.get(resource, 0) >= amount for resource, amount in podset.requests)
    )


def _number(label: str | None) -> int:
    return int(label) if label and label.isascii() and label.isdigit() else -1


def _words(podset: PodSet) -> str:
    parts = [f"{quantities.words(resource, amount)} {resource}" for resource, amount in podset.requests if amount]
    parts += [f"{key}={value}" for key, value in podset.node_selector]
    parts += [f"{key} over {least}" for key, least in podset.labels_above]
    return ", ".join(parts)
