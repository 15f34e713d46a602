"""The transition table: which status may follow which (design section 2).

Everything that changes ``status.status`` passes through check(); docs/architecture.md draws the diagram
from this table.
"""

from batch_operator.api.v1alpha1.batchjob import JobStatus

PENDING, ADMITTED, RUNNING, COMPLETED, FAILED = (
    JobStatus.PENDING,
    JobStatus.ADMITTED,
    JobStatus.RUNNING,
    JobStatus.COMPLETED,
    JobStatus.FAILED,
)

EDGES: dict[JobStatus | None, dict[JobStatus, str]] = {
    None: {
        PENDING: "first sight, not admitted yet",
        ADMITTED: "first sight, admitted at once",
        FAILED: "bad request",
    },
    PENDING: {
        ADMITTED: "admitted",
        RUNNING: "a pod made before the quota ran out runs",
        COMPLETED: "fast pods",
        FAILED: "bad request, bad exit",
    },
    ADMITTED: {
        PENDING: "the namespace's quota refuses its pods",
        RUNNING: "a pod runs",
        COMPLETED: "fast pods",
        FAILED: "bad exit, or a pod that cannot start",
    },
    RUNNING: {COMPLETED: "every input ended, within policy", FAILED: "limits, bad exit"},
    COMPLETED: {},
    FAILED: {},
}


class IllegalTransition(AssertionError):
    """A rule asked for a step that the table does not have: a bug, never a user's mistake."""


def check(before: JobStatus | None, after: JobStatus) -> None:
    if before is not after and after not in EDGES[before]:
        raise IllegalTransition(f"{before} -> {after} is not in the transition table")
