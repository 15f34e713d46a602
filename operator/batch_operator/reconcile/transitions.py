"""The transition table: which status may follow which (design section 2).

Everything that changes ``status.status`` passes through check(); docs/architecture.md draws the diagram
from this table.
"""

from batch_operator.api.v1alpha1.batchjob import JobStatus

PENDING, ADMITTED, RUNNING, COMPLETED, FAILED, PREEMPTED, CANCELLED = (
    JobStatus.PENDING,
    JobStatus.ADMITTED,
    JobStatus.RUNNING,
    JobStatus.COMPLETED,
    JobStatus.FAILED,
    JobStatus.PREEMPTED,
    JobStatus.CANCELLED,
)

EDGES: dict[JobStatus | None, dict[JobStatus, str]] = {
    None: {
        PENDING: "first sight, not admitted yet",
        ADMITTED: "first sight, admitted at once",
        FAILED: "bad request",
        CANCELLED: "cancel",
    },
    PENDING: {
        ADMITTED: "admitted",
        RUNNING: "a pod made before the quota ran out runs",
        COMPLETED: "fast pods, or nothing was left",
        FAILED: "bad request, bad exit, timeouts",
        PREEMPTED: "pods made before the quota ran out are preempted",
        CANCELLED: "cancel",
    },
    ADMITTED: {
        PENDING: "suspend, start timeout, back-off, quota of the namespace, Kueue's gate",
        RUNNING: "a pod runs",
        COMPLETED: "fast pods",
        FAILED: "limits, bad exit, a pod that cannot start",
        PREEMPTED: "all pods lost to preemption, or displaced in its queue",
        CANCELLED: "cancel",
    },
    RUNNING: {
        PENDING: "suspend, back-off, Kueue's gate",
        COMPLETED: "every input ended, within policy",
        FAILED: "limits, timeouts, bad exit",
        PREEMPTED: "the last pods lost to preemption, or displaced in its queue",
        CANCELLED: "cancel",
    },
    PREEMPTED: {
        PENDING: "suspend, Kueue's gate",
        ADMITTED: "admitted",
        COMPLETED: "nothing was left",
        FAILED: "limits, timeouts",
        CANCELLED: "cancel",
    },
    COMPLETED: {},
    FAILED: {PENDING: "retry requested"},
    CANCELLED: {PENDING: "retry requested"},
}


class IllegalTransition(AssertionError):
    """A rule asked for a step that the table does not have: a bug, never a user's mistake."""


def check(before: JobStatus | None, after: JobStatus) -> None:
    if before is not after and after not in EDGES[before]:
        raise IllegalTransition(f"{before} -> {after} is not in the transition table")
