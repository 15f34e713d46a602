"""A pod that never starts (design section 2, "Pods that never start").

Some waiting reasons cannot pass by themselves and fail the job at once; the others get time.
"""

from datetime import datetime, timedelta

from batch_operator.policies.verdict import Failure
from batch_operator.snapshot import PodRecord

HOPELESS = frozenset({"InvalidImageName", "ErrImageNeverPull"})
SLOW = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ImageInspectError",
        "RegistryUnavailable",
        "CreateContainerError",
        "CreateContainerConfigError",
    }
)

STUCK = timedelta(seconds=20)


def is_slow(pod: PodRecord) -> bool:
    """It fails to start for a reason that may pass. cluster.gather notes since when."""
    return pod.is_live and pod.started_at is None and pod.waiting_reason in SLOW


def is_stuck(pod: PodRecord, now: datetime) -> bool:
    """It has a node and says nothing, but does not start: it may wait for a volume that is not there."""
    waits = pod.is_live and pod.started_at is None and pod.node != "" and not is_slow(pod)
    return waits and pod.created_at is not None and now - pod.created_at >= STUCK


def failure(pod: PodRecord, overdue: bool) -> Failure | None:
    """Why the job fails because this pod cannot start, or None. `overdue`: it has been slow for too long."""
    if not pod.is_live or pod.started_at is not None:
        return None
    if pod.waiting_reason not in HOPELESS and not (overdue and is_slow(pod)):
        return None
    return Failure(
        "START_FAILED",
        f"pod {pod.name} cannot start: {pod.waiting_reason}: {pod.waiting_message or 'the kubelet gave no reason'}",
        "Check what it names (the image, or a Secret that the pipeline wants in this namespace), then apply the job "
        "under another name.",
        component=pod.component,
    )
