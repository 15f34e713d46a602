"""A pod that never starts (design section 2, "Pods that never start").

Some waiting reasons cannot pass by themselves and fail the job at once; the others get time.
"""

from datetime import datetime, timedelta

from batch_operator.policies.verdict import Failure
from batch_operator.snapshot import PodRecord

HOPELESS = frozenset({"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"})
SLOW = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", "CreateContainerError"}
)


def failure(pod: PodRecord, now: datetime, patience: timedelta) -> Failure | None:
    """Why the job fails because this pod cannot start, or None."""
    if not pod.is_live or pod.started_at is not None:
        return None
    if pod.waiting_reason not in HOPELESS and not _overdue(pod, now, patience):
        return None
    return Failure(
        "START_FAILED",
        f"pod {pod.name} cannot start: {pod.waiting_reason}: {pod.waiting_message or 'the kubelet gave no reason'}",
        "Check the image and the configuration of the pipeline's component; then apply the job under another name.",
        component=pod.component,
    )


def deadline(pod: PodRecord, patience: timedelta) -> datetime | None:
    """When the pod's waiting is over; None while it waits for nothing that this rule knows."""
    if not pod.is_live or pod.started_at is not None or pod.waiting_reason not in SLOW:
        return None
    since = pod.scheduled_at or pod.created_at
    return since + patience if since else None


def _overdue(pod: PodRecord, now: datetime, patience: timedelta) -> bool:
    due = deadline(pod, patience)
    return due is not None and now >= due
