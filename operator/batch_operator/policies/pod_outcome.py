"""What became of a pod: the ladder that tells a preemption from a failure (design section 2).

Never by exit code 137 or 143 alone. Our own intent comes before all of this: while ledger.stopping is set, nobody
asks here (reconcile.stopping). Called by policies.progress and reconcile.
"""

from collections.abc import Collection
from enum import StrEnum

from batch_operator.api import ranges
from batch_operator.api.report import Report, ReportError
from batch_operator.policies.verdict import Failure
from batch_operator.snapshot import PodRecord

EXIT_BAD_CONFIG = 64
EXIT_BAD_DATA = 65
EXIT_ASKED_TO_STOP = 75
EVICTED = "Evicted"
SHUT_DOWN = "Terminated"
"""The kubelet's word for pods that it ended because its node shuts down."""
DEADLINE = "DeadlineExceeded"


class Outcome(StrEnum):
    """What became of one pod."""

    LIVE = "Live"
    ENDED = "Ended"
    """It has done what it could: its inputs decide (exit 0 and 65, or none of its inputs is open)."""
    FAILED = "Failed"
    """It failed by itself: a retry."""
    PREEMPTED = "Preempted"
    """Somebody else took it away before its end, or its node did: a preemption."""
    FATAL = "Fatal"
    """No retry helps: the job fails at once."""


def outcome(pod: PodRecord, ended_inputs: Collection[int] = ()) -> Outcome:
    """`ended_inputs`: numbers known to be completed or failed, this pod's last word included."""
    if pod.is_live:
        return Outcome.LIVE
    if _is_done(pod, ended_inputs):
        return Outcome.ENDED
    if _is_fatal(pod):
        return Outcome.FATAL
    if pod.phase == "Succeeded":
        # asked to stop and exited 0 all the same: it ended early, since some of its inputs are open
        left_open = was_disrupted(pod) and bool(block(pod))
        return Outcome.PREEMPTED if left_open else Outcome.ENDED
    if was_disrupted(pod):
        return Outcome.PREEMPTED
    if pod.reason == EVICTED:
        return Outcome.FAILED  # without DisruptionTarget: it overran its own limit
    if _was_rejected(pod) or pod.reason == SHUT_DOWN:
        return Outcome.PREEMPTED
    if pod.exit_code == EXIT_BAD_DATA and block(pod):
        return Outcome.ENDED
    return Outcome.FAILED if pod.is_terminal else Outcome.PREEMPTED


def was_disrupted(pod: PodRecord) -> bool:
    """Somebody wants this pod away, also while it still lives: by condition (DisruptionTarget or Kueue's
    TerminationTarget; the type counts, never the reason: KEP-3329), by a deletion, or with its node."""
    return pod.disruption != "" or (pod.node_gone and not pod.is_terminal) or _ended_by_deletion(pod)


def has_started(pod: PodRecord) -> bool:
    return pod.started_at is not None


def last_word(pod: PodRecord) -> Report | None:
    """The report in the termination message; one that does not parse is no report."""
    if not pod.termination_message:
        return None
    try:
        return Report.parse(pod.termination_message)
    except ReportError:
        return None


def _is_done(pod: PodRecord, ended_inputs: Collection[int]) -> bool:
    """Every input of its block has ended: its work is done, however it went."""
    numbers = block(pod)
    return bool(numbers) and all(number in ended_inputs for number in numbers)


def block(pod: PodRecord) -> frozenset[int]:
    """The block as it was frozen into the pod; none where somebody has edited that into nonsense."""
    try:
        return ranges.parse(pod.inputs)
    except ranges.RangeError:
        return frozenset()


def _is_fatal(pod: PodRecord) -> bool:
    return pod.phase == "Failed" and pod.exit_code == EXIT_BAD_CONFIG


def _was_rejected(pod: PodRecord) -> bool:
    """By the kubelet, before any container began: UnexpectedAdmissionError, OutOf…, NodeAffinity, NodeShutdown …"""
    began = has_started(pod) or pod.exit_code is not None
    return pod.phase == "Failed" and not began and pod.reason not in ("", DEADLINE)


def _ended_by_deletion(pod: PodRecord) -> bool:
    """Whether somebody asked for its deletion before it ended: a pod that failed by itself and was cleaned away
    after that has still failed."""
    if not (pod.deleting or pod.deleted):
        return False
    if not pod.is_terminal and not pod.deleted:
        return True
    if pod.exit_code == EXIT_ASKED_TO_STOP:
        return True  # it says that it got a SIGTERM, and a deletion sends one
    if pod.finished_at is None or pod.deletion_asked_at is None:
        return pod.exit_code is None
    return pod.deletion_asked_at <= pod.finished_at


def fatal(pod: PodRecord) -> Failure:
    """Why a pod with outcome FATAL fails its job."""
    report = last_word(pod)
    if report is not None and report.error is not None:
        return Failure(
            report.error.code,
            report.error.message,
            report.error.suggestion or None,
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


def how_it_failed(pod: PodRecord) -> str:
    """``worker 0 failed (OOMKilled, exit code 137): why``, for people."""
    how = f"exit code {pod.exit_code}" if pod.exit_code is not None else (pod.reason or "no exit code")
    if pod.container_reason and pod.container_reason not in ("Error", "Completed"):
        how = f"{pod.container_reason}, {how}"
    report = last_word(pod)
    words = pod.message or (report.notice if report else _words(pod))
    return f"pod {pod.name} failed ({how})" + (f": {words}" if words else "")


def how_it_was_lost(pod: PodRecord) -> str:
    """``pod x was preempted (PreemptionByScheduler: why)``, for people."""
    why = pod.disruption
    if not why and pod.node_gone:
        why = f"node {pod.node} is gone"
    if not why and _ended_by_deletion(pod):
        why = "it was deleted"
    return f"pod {pod.name} was preempted ({why or pod.reason or 'no reason given'})" + (
        f": {pod.message}" if pod.message else ""
    )


def _words(pod: PodRecord) -> str:
    return " ".join(pod.termination_message.split())[:300]
