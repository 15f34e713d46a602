"""What a lost node means for the pods on it (design section 2: a node object that is gone, or tainted out-of-service,
counts as gone). Called by cluster.gather, which knows the nodes, and by reconcile.
"""

from datetime import datetime, timedelta

from batch_operator.snapshot import NodeRecord, PodRecord

QUARANTINE = timedelta(seconds=40)
"""How long a node must have been missing: a pod's event can be faster than its new node's. As Kubernetes' PodGC."""


def is_gone(pod: PodRecord, node: NodeRecord | None, missing_for: timedelta) -> bool:
    """`node`: the pod's, None if there is no such object; `missing_for`: how long there has been none."""
    if not pod.node or pod.is_terminal or pod.deleted:
        return False
    return missing_for >= QUARANTINE if node is None else node.out_of_service


def force_delete_due(pod: PodRecord, after_seconds: int | None) -> datetime | None:
    """When a pod that terminates on a dead node is deleted by force; None: never (the default), or not this one.

    By the pipeline's force_delete_after_seconds, counted from the end of its grace period (as Kueue's KEP-6757).
    """
    if after_seconds is None or after_seconds < 0 or not pod.is_live or pod.deletion_due is None:
        return None
    return pod.deletion_due + timedelta(seconds=after_seconds) if pod.node_unready else None
