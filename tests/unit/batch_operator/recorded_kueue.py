"""Pods as other people's clusters with Kueue showed them: from the threads named here, shortened to what is read.

Nobody here has run Kueue: these, and Kueue's documents, are what the hand-over is held against (docs/kueue.md).
"""

from typing import Any

GATED: dict[str, Any] = {
    "metadata": {
        "annotations": {"kueue.x-k8s.io/pod-group-total-count": "2", "kueue.x-k8s.io/role-hash": "b514ac0b"},
        "creationTimestamp": "2025-07-23T05:31:38Z",
        "finalizers": ["kueue.x-k8s.io/managed"],
        "labels": {
            "kueue.x-k8s.io/managed": "true",
            "kueue.x-k8s.io/pod-group-name": "sample-group",
            "kueue.x-k8s.io/queue-name": "user-queue",
        },
        "name": "sample-leader-7lpxm",
        "namespace": "default",
        "resourceVersion": "219500",
        "uid": "07a4cc66-6710-434d-856c-24c1ca3559d2",
    },
    "spec": {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]},
    "status": {
        "conditions": [
            {
                "lastTransitionTime": "2025-07-23T05:31:38Z",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "reason": "SchedulingGated",
                "status": "False",
                "type": "PodScheduled",
            }
        ],
        "phase": "Pending",
    },
}
"""kueue#6149 (Kueue 0.12.4, Kubernetes 1.33), metadata; the condition as Kubernetes' API server sets it."""

DELETED_BEHIND_ITS_GATE: dict[str, Any] = {
    **GATED,
    "metadata": GATED["metadata"]
    | {"deletionGracePeriodSeconds": 0, "deletionTimestamp": "2025-07-23T05:32:33Z", "resourceVersion": "219612"},
}
"""Likewise, after ``kubectl delete pod``: the finalizer keeps it."""

EVICTED_UNSCHEDULED: dict[str, Any] = {
    "metadata": {
        "creationTimestamp": "2024-01-25T10:28:01Z",
        "deletionGracePeriodSeconds": 0,
        "deletionTimestamp": "2024-01-25T10:29:03Z",
        "finalizers": ["kueue.x-k8s.io/managed"],
        "labels": {"kueue.x-k8s.io/managed": "true", "kueue.x-k8s.io/pod-group-name": "group"},
        "name": "sample-pod",
        "namespace": "default",
        "resourceVersion": "1",
        "uid": "evicted",
    },
    "spec": {},
    "status": {
        "conditions": [
            {
                "message": "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint "
                "{node-role.kubernetes.io/control-plane: }. preemption: 0/2 nodes are available: 1 No preemption "
                "victims found for incoming pod, 1 Preemption is not helpful for scheduling..",
                "reason": "Unschedulable",
                "status": "False",
                "type": "PodScheduled",
            },
            {
                "lastTransitionTime": "2024-01-25T10:29:03Z",
                "message": "Exceeded the PodsReady timeout default/group",
                "reason": "StoppedByKueue",
                "status": "True",
                "type": "TerminationTarget",
            },
        ],
        "phase": "Failed",
    },
}
"""kueue#1641, status: admitted, but without a node; the phase is PodGC's, since no kubelet knew of it."""

DELETED_SINGLE: dict[str, Any] = {
    "metadata": {
        "creationTimestamp": "2023-11-16T22:10:10Z",
        "deletionGracePeriodSeconds": 0,
        "deletionTimestamp": "2023-11-16T22:10:29Z",
        "finalizers": ["kueue.x-k8s.io/managed"],
        "labels": {"kueue.x-k8s.io/managed": "true", "kueue.x-k8s.io/queue-name": "xyz"},
        "name": "abc",
        "namespace": "default",
        "resourceVersion": "1",
        "uid": "single",
    },
    "spec": {"nodeName": "node-1"},
    "status": {"phase": "Running"},
}
"""kueue#1339, metadata: a running pod whose end has not been written yet."""
