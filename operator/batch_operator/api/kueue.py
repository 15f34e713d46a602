"""Kueue's labels, annotations and gate, as its integration of plain pods names them (v0.6 to v0.18; docs/kueue.md).

Called by decoding, snapshot, policies.hand_over and resources.kueue.
"""

from batch_operator.api import names

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""On a job or on its namespace, and on the pods: the LocalQueue."""
GROUP_LABEL = "kueue.x-k8s.io/pod-group-name"
GROUP_COUNT_ANNOTATION = "kueue.x-k8s.io/pod-group-total-count"
RETRIABLE_ANNOTATION = "kueue.x-k8s.io/retriable-in-group"
GATE = "kueue.x-k8s.io/admission"
"""Put into pods by Kueue's webhook, taken out when it admits them."""
MANAGED_NAMESPACE_LABELS = ("kueue.x-k8s.io/managed-namespace", "kueue.openshift.io/managed")
"""On a namespace, "true": the label that Kueue's documents propose for managedJobsNamespaceSelector, and Red Hat's."""
DEFAULT_QUEUE = "default"
"""The LocalQueue that Kueue itself gives to jobs that name none."""


def group_name(job: str, uid: str, number: int) -> str:
    """``<job>-<6 of uid>-group-<number>``: the pod group, and the Workload that Kueue makes of it."""
    return names.bounded(f"{job}-{uid[:6]}", f"-group-{number}", uid)
