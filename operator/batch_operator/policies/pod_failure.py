"""Why a pod ended, and what that means for its job (design section 2, "Why a pod ended").

Never by exit code 137 or 143 alone: they say how a process died, not why.
"""

from enum import StrEnum

from batch_operator.api.report import Report, ReportError
from batch_operator.policies.verdict import Failure
from batch_operator.snapshot import PodRecord

EXIT_BAD_CONFIG = 64
EXIT_BAD_DATA = 65
CANNOT_RUN = frozenset({"StartError", "ContainerCannotRun"})
"""The container's own reasons where its command could not even be executed."""


class Outcome(StrEnum):
    """What became of one pod."""

    LIVE = "Live"
    ENDED = "Ended"
    """It has done what it could: its inputs decide (exit 0 and 65)."""
    FAILED = "Failed"
    LOST = "Lost"
    """Somebody else took it away before its end."""


def outcome(pod: PodRecord) -> Outcome:
    if pod.phase == "Succeeded" or (pod.phase == "Failed" and pod.exit_code == EXIT_BAD_DATA):
        return Outcome.ENDED
    if pod.phase == "Failed":
        return Outcome.LOST if _ended_by_deletion(pod) else Outcome.FAILED
    return Outcome.LOST if pod.deleted else Outcome.LIVE


def _ended_by_deletion(pod: PodRecord) -> bool:
    """Whether somebody asked for its deletion before it ended: a pod that failed by itself and was cleaned away
    after that has still failed. Refusing its configuration is its own word in any case."""
    if pod.exit_code == EXIT_BAD_CONFIG or not (pod.deleting or pod.deleted):
        return False
    if pod.finished_at is None or pod.deletion_asked_at is None:
        return pod.exit_code is None
    return pod.deletion_asked_at <= pod.finished_at


def last_word(pod: PodRecord) -> Report | None:
    """The report in the termination message; one that does not parse is no report."""
    if not pod.termination_message:
        return None
    try:
        return Report.parse(pod.termination_message)
    except ReportError:
        return None


def failure(pod: PodRecord) -> Failure | None:
    """Why the job fails because of this pod, or None if it does not."""
    match outcome(pod):
        case Outcome.LOST:
            return Failure(
                "POD_LOST",
                f"pod {pod.name} was deleted before its end",
                "Apply it again under another name: it starts anew; what was committed stays in outputs_url.",
                component=pod.component,
            )
        case Outcome.FAILED:
            return _failed(pod)
        case _:
            return None


def _failed(pod: PodRecord) -> Failure:
    report = last_word(pod)
    if pod.exit_code == EXIT_BAD_CONFIG:
        error = report.error if report else None
        if error is not None:
            return Failure(
                error.code,
                error.message,
                error.suggestion or None,
                component=pod.component,
                exit_code=pod.exit_code,
            )
        words = _words(pod) if report is None else report.notice
        return Failure(
            "INVALID_REQUEST",
            f"component {pod.component} refused its configuration (exit code 64): {words or 'it gave no reason'}",
            f"See the log: kubectl logs -n {pod.namespace} {pod.name}",
            component=pod.component,
            exit_code=pod.exit_code,
        )
    if pod.container_reason in CANNOT_RUN:
        return Failure(
            "START_FAILED",
            f"pod {pod.name} cannot start: {pod.container_reason}: {_words(pod) or 'the runtime gave no reason'}",
            "Check `command` of the pipeline's component; its owner must publish a version that starts.",
            component=pod.component,
            exit_code=pod.exit_code,
        )
    how = f"exit code {pod.exit_code}" if pod.exit_code is not None else (pod.reason or "no exit code")
    if pod.container_reason and pod.container_reason not in ("Error", "Completed"):
        how = f"{pod.container_reason}, {how}"
    words = pod.message or (report.notice if report else _words(pod))
    return Failure(
        "WORKER_FAILED",
        f"pod {pod.name} failed ({how})" + (f": {words}" if words else ""),
        f"See the log: kubectl logs -n {pod.namespace} {pod.name}",
        component=pod.component,
        exit_code=pod.exit_code,
    )


def _words(pod: PodRecord) -> str:
    return " ".join(pod.termination_message.split())[:300]
