"""A resolved job: its pods are made, watched, judged, replaced and, where it must be, ended.

The order of the questions is the order of precedence: an intent already written, then what has been completed, then
requests, then timeouts, then what pods tell. Called by reconcile.batchjob.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from batch_operator.api import ranges
from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import AdmissionLedger, BatchJob, BatchJobStatus, JobStatus, Ledger
from batch_operator.api.v1alpha1.conditions import Reason
from batch_operator.api.words import shortened
from batch_operator.policies import (
    effective_policy,
    pod_outcome,
    pod_start,
    progress,
    refusal,
    requests,
    success,
    timeouts,
)
from batch_operator.policies.effective_policy import EffectivePolicy
from batch_operator.policies.pod_outcome import Outcome
from batch_operator.policies.progress import Progress
from batch_operator.policies.verdict import Failure
from batch_operator.reconcile import (
    admission,
    handing_over,
    losses,
    pods_of_job,
    queue_entry,
    rounds,
    running_status,
    stopping,
)
from batch_operator.reconcile import status as statuses
from batch_operator.reconcile.losses import Counts, Losses
from batch_operator.reconcile.plan import Event, Plan, PodDelete
from batch_operator.reconcile.rounds import Round
from batch_operator.reconcile.running_status import ledger_of, with_ledger
from batch_operator.snapshot import Displaced, JobSnapshot, PodRecord

LOOK_AGAIN = timedelta(seconds=30)
"""A pod that does not start tells nobody why; gather then looks whether its ConfigMap is still there. Likewise one
whose node is missing: gather gives the node up after a while."""
Outgoing = tuple[Plan, BatchJobStatus]
"""A plan without a status, and the status as it should be."""


@dataclass(frozen=True, slots=True)
class _View:
    """What one pass knows: read once, handed down."""

    job: BatchJob
    file: JobFile
    seen: JobSnapshot
    now: datetime
    policy: EffectivePolicy
    done: Progress
    pods: dict[tuple[str, int], PodRecord]
    noted: dict[str, Round]
    """As status has them; the other rounds are as they are now."""


def run(job: BatchJob, status: BatchJobStatus, file: JobFile, seen: JobSnapshot, now: datetime) -> Outgoing:
    """One pass over a job whose pipeline is resolved."""
    ledger = status.ledger
    assert ledger is not None, "a resolved job has a ledger"
    policy = effective_policy.effective(job.policy, file.retry_policy)
    ledger = timeouts.believable(ledger, now, policy, seen.settings.start_retry_delay)
    since, started = ledger.running_since, status.started_at
    if since and started and since + timedelta(minutes=1) < started <= now:  # written by a clock that was behind
        ledger = ledger.model_copy(update={"running_since": started})
    status = status.model_copy(update={"ledger": ledger})
    noted = rounds.read(ledger.components)
    pods = _with_blocks(rounds.current_pods(seen.pods, noted), noted, file)
    done = progress.fold(file, ledger, pods.values(), seen.reports)
    status = _started(statuses.with_progress(status, done, file), pods)
    status = _with_rounds(status, rounds.observed(rounds.settled(file, _rounds(status), pods, done.ended), pods))
    view = _View(job, file, seen, now, policy, done, pods, noted)
    if ledger.stopping is not None:
        return stopping.go_on(job, status, seen, now, policy, done.notices)
    known = _rounds(status)
    if queue_entry.is_waiting(status):  # judged by what it would go on with
        known = admission.begun(file, known, done.ended)
    elif ledger.admission is None and ledger.handed_over is None:  # admitted by an operator that had no queues
        record = AdmissionLedger(pods=queue_entry.asked(file, known), queue=job.spec.queue, admitted_at=now)
        status = with_ledger(status, admission=record)
    ended = all(not r.open_indexes for r in known.values())
    why = success.inputs_failure(done, policy, ended=ended)
    if why is not None:
        return _fail(view, status, why)
    if ended and (living := [p for p in seen.pods if p.is_live]):
        deletes = stopping.pod_deletes(living, seen, now, policy)
        words = f"every input has ended; waiting for {len(living)} pods of earlier attempts to end"
        wait = stopping.look_again(living, seen, now)
        status = status.model_copy(update={"message": words})
        return Plan("Completing", words, deletes=deletes, requeue_after=wait), status
    if ended:
        status = statuses.completed(status, done, now)
        message = "; ".join((status.message or "", *done.notices))
        return Plan("Completed", message, event=Event("Normal", Reason.COMPLETED, message)), status
    if value := requests.cancel(job):
        status = status.model_copy(
            update={
                "ledger": requests.cancel_answered(status.ledger, value),
                "cancelled_at": statuses.not_before_its_start(now, status),
            }
        )
        return stopping.stop(job, status, stopping.CANCEL, seen, now, policy)
    if queue_entry.is_waiting(status):
        return admission.wait(job, status, file, done, seen, policy, now)
    if job.spec.suspend:
        return stopping.stop(job, status, stopping.SUSPEND, seen, now, policy)
    if seen.displaced is not None and seen.displaced.concerns(ledger.admission):
        return _displaced(view, status, seen.displaced)
    return _judge(view, status)


def _displaced(view: _View, status: BatchJobStatus, why: Displaced) -> Outgoing:
    """Its queue wants the quota back: counted with the intent, in one write."""
    lost = losses.displaced(_rounds(status), _counts(status), why.words, view.policy)
    status = status.model_copy(update={"preemption_count": lost.counts.preemptions})
    if lost.failure is not None:
        return _fail(view, status, lost.failure)
    intent = stopping.Intent(Reason.PREEMPTED, why.words, preemptor=why.preemptor, message=why.words)
    plan, status = stopping.stop(view.job, status, intent, view.seen, view.now, view.policy)
    return replace(plan, event=Event("Warning", Reason.PREEMPTED, why.words)), status


def _judge(view: _View, status: BatchJobStatus) -> Outgoing:
    """An admitted job: what its pods and its clocks say."""
    ledger = ledger_of(status)
    status = _with_rounds(status, _with_slow_pods(_rounds(status), view))
    if (why := _first_fatal(view, _rounds(status))) is not None:
        return _fail(view, status, why)
    due = timeouts.run_due(ledger, view.policy)
    if due is not None and view.now >= due:
        return _fail(view, status, timeouts.run_failure(view.policy))
    if status.status is JobStatus.PENDING:  # its pods are refused
        due = timeouts.assign_due(ledger.waiting_since, view.policy)
        if due is not None and view.now >= due:
            return _fail(view, status, timeouts.assign_failure(view.policy, status.message or ""))
    known = _rounds(status)
    if rounds.has_started(view.file, view.noted, view.pods):
        status = with_ledger(status, starting_since=None, start_timeouts=None, admission=_as_created(ledger))
    elif status.status is JobStatus.ADMITTED and ledger.starting_since is None:  # admitted by an older version
        status = with_ledger(status, starting_since=view.now)
    due = timeouts.start_due(ledger_of(status), view.policy)
    if due is not None and view.now >= due:
        return _start_timed_out(view, status)
    lost = losses.count(view.file, known, _counts(status), view.pods, view.done.ended, view.policy, view.now)
    if lost.words:
        return _lost(view, status, lost)
    return _go_on(view, status, lost)


def _counts(status: BatchJobStatus) -> Counts:
    ledger = ledger_of(status)
    return Counts(
        status.retry_count or 0, status.preemption_count or 0, ledger.preemption_base or 0, ledger.round_failures or 0
    )


def _as_created(ledger: Ledger) -> AdmissionLedger | None:
    """It has started: its place among its equals is again that of its creation."""
    return ledger.admission.model_copy(update={"queued_at": None}) if ledger.admission else None


def _lost(view: _View, status: BatchJobStatus, lost: Losses) -> Outgoing:
    """Pods were lost: counted now, in the write that also says what follows."""
    status = _with_rounds(status, lost.rounds).model_copy(
        update={"retry_count": lost.counts.retries, "preemption_count": lost.counts.preemptions}
    )
    status = with_ledger(status, round_failures=lost.counts.round_failures or None)
    words = "; ".join(lost.words[:3]) + (f" (and {len(lost.words) - 3} more)" if len(lost.words) > 3 else "")
    reason = Reason.PREEMPTED if lost.preempted else Reason.RETRYING
    if lost.failure is not None:
        return _fail(view, status, lost.failure)
    event = Event("Warning", reason, words)
    if lost.round_lost:
        status = with_ledger(status, next_admission=lost.resume_at)
        intent = stopping.Intent(reason, words)
        plan, status = stopping.stop(view.job, status, intent, view.seen, view.now, view.policy)
    else:
        plan, status = _go_on(view, status, lost)
    return replace(plan, event=event), status


def _go_on(view: _View, status: BatchJobStatus, lost: Losses) -> Outgoing:
    """RUNNING while any pod lives; without one, PREEMPTED or in back-off; pods that are due are made."""
    known, now, seen = _rounds(status), view.now, view.seen
    pods = rounds.current_pods(view.pods.values(), known)
    alive = any(p.is_live for p in seen.pods)
    places = pods_of_job.missing_places(known, pods)
    any_due = any(pods_of_job.is_due(known, place, now) for place in places)
    if places and not alive and not any_due:
        status = statuses.waiting(status, Reason.BACK_OFF, now)
        return Plan("BackingOff", status.message or "", requeue_after=rounds.waits(known, now)[0] - now), status
    if places and not alive and lost.preempted:
        status = statuses.preempted(status, lost.preempted, now)
        return Plan("Preempted", status.message or ""), status
    missing = pods_of_job.missing(view.job, view.file, known, pods, view.done.ended, seen.settings, now)
    missing = handing_over.replacements(missing, ledger_of(status).handed_over, known, pods.values())
    held_back = held_back_until(seen, now)
    event: Event | None = None
    refused = f"; {len(missing)} more refused: {seen.refusal.message}" if seen.refusal and missing else ""
    waits = [moment - now for moment in _deadlines(view, status) if moment > now]
    gated = [p for p in pods.values() if p.is_gated]
    if any(p.is_live and not p.is_gated and (p.started_at is None or p.node_unready) for p in pods.values()):
        waits.append(LOOK_AGAIN)
    if held_back is not None and missing:
        missing = ()
        waits.append(held_back - now)
    runs = any(p.is_live and p.started_at is not None for p in pods.values())
    if gated and not runs:
        status = handing_over.held(status, gated, refused, now)
    elif (
        runs
        or (status.status is JobStatus.RUNNING and (alive or seen.refusal is None))
        or (alive and rounds.started(view.noted, pods))  # the first have ended before the others started
    ):
        remark = pods_of_job.waiting_words(pods.values()) + running_status.back_off_words(known, now)
        status = running_status.running(status, remark + refused, now)
    elif seen.refusal is not None and not alive:
        event = Event("Warning", refusal.reason(seen.refusal), f"pods are refused: {seen.refusal.message}")
        status = running_status.refused(status, seen, now)
    elif status.status is not JobStatus.PENDING or pods:  # PENDING for a refusal until a pod is there
        status = running_status.starting(status, pods, len(places) + len(pods), refused, now)
    gone_astray = [PodDelete(p.name, p.uid, view.policy.grace_seconds) for p in rounds.superseded(seen.pods, known)]
    plan = Plan(
        "Running" if status.status is JobStatus.RUNNING else "Starting",
        status.message or "",
        deletes=(*gone_astray, *stopping.forced_deletes(seen, now)),
        pods=missing,
        event=event,
        requeue_after=min(waits, default=None),
    )
    return plan, status


def held_back_until(seen: JobSnapshot, now: datetime) -> datetime | None:
    """When refused children are tried again, if that is not yet."""
    if seen.refusal is None:
        return None
    due = refusal.next_try(seen.refusal)
    return due if due > now else None


def _fail(view: _View, status: BatchJobStatus, why: Failure) -> Outgoing:
    intent = stopping.failing(view.job, why)
    return stopping.stop(view.job, status, intent, view.seen, view.now, view.policy, view.done.notices)


def _start_timed_out(view: _View, status: BatchJobStatus) -> Outgoing:
    """Back to the queue with growing delay, behind its equals; after the third time it fails (design section 3). One
    whose pods are refused does not fail for it, and comes back after the longest delay: others can use its quota."""
    ledger, refused = ledger_of(status), status.status is JobStatus.PENDING
    counted = (ledger.start_timeouts or 0) + (not refused)
    number = timeouts.MAX_START_TIMEOUTS if refused else counted
    words = next((p.unschedulable or p.waiting_reason for p in view.pods.values() if not p.started_at), "")
    words = shortened(view.seen.refusal.message, 300) if refused and view.seen.refusal else words
    if counted >= timeouts.MAX_START_TIMEOUTS:
        return _fail(view, status, timeouts.start_failure(view.policy, words))
    resume_at = view.now + timeouts.start_retry_delay(view.job.uid, number, view.seen.settings.start_retry_delay)
    record = ledger.admission.model_copy(update={"queued_at": view.now}) if ledger.admission else None
    status = with_ledger(status, start_timeouts=counted or None, next_admission=resume_at, admission=record)
    intent = stopping.Intent(Reason.START_TIMEOUT, "it did not start in time")
    plan, status = stopping.stop(view.job, status, intent, view.seen, view.now, view.policy)
    message = f"did not start within {view.policy.start_timeout_seconds} s" + (f": {words}" if words else "")
    return replace(plan, event=Event("Warning", Reason.START_TIMEOUT, message)), status


def _with_slow_pods(known: dict[str, Round], view: _View) -> dict[str, Round]:
    """Since when each pod fails to start, counted from the first failure that was seen."""
    result = {}
    for name, r in known.items():
        slow = {
            index: r.slow_since.get(index, view.now)
            for (component, index), pod in view.pods.items()
            if component == name and pod_start.is_slow(pod)
        }
        result[name] = replace(r, slow_since=slow)
    return result


def _first_fatal(view: _View, known: dict[str, Round]) -> Failure | None:
    for place, pod in sorted(view.pods.items()):
        name, index = place
        if index in known[name].succeeded:
            continue
        if pod_outcome.outcome(pod, view.done.ended) is Outcome.FATAL:
            return pod_outcome.fatal(pod)
        since = known[name].slow_since.get(index)
        overdue = since is not None and view.now >= since + view.seen.settings.image_pull_timeout
        if (why := pod_start.failure(pod, overdue)) is not None:
            return why
    return None


def _deadlines(view: _View, status: BatchJobStatus) -> list[datetime]:
    """Moments at which something falls due without an event."""
    known = _rounds(status)
    slow = [when + view.seen.settings.image_pull_timeout for r in known.values() for when in r.slow_since.values()]
    ledger, policy = ledger_of(status), view.policy
    clocks = (
        timeouts.run_due(ledger, policy),
        timeouts.start_due(ledger, policy),
        timeouts.assign_due(ledger.waiting_since, policy),
    )
    forced = stopping.forced_delete_dues(view.seen)
    return [*slow, *(due for due in clocks if due is not None), *rounds.waits(known, view.now), *forced]


def _with_blocks(
    pods: dict[tuple[str, int], PodRecord], known: dict[str, Round], file: JobFile
) -> dict[tuple[str, int], PodRecord]:
    """Of a pod that vanished while nobody watched only the name is left; its block is its index's."""
    result = dict(pods)
    for (name, index), pod in pods.items():
        if pod.deleted and not pod.inputs:
            block = known[name].blocks(file.numbers.get(name))[index]
            result[name, index] = replace(pod, inputs=ranges.format_ranges(block))
    return result


def _started(status: BatchJobStatus, pods: rounds.Pods) -> BatchJobStatus:
    """The first start, also of a job whose pods end before anybody saw them run. A job that was cancelled before it
    has not started: its pods may still do so before they hear of it."""
    started = [p.started_at for p in pods.values() if p.started_at is not None]
    if status.started_at is not None or not started:
        return status
    if status.cancelled_at is not None and status.cancelled_at < min(started):
        return status
    return status.model_copy(update={"started_at": min(started)})


def _rounds(status: BatchJobStatus) -> dict[str, Round]:
    return rounds.read(ledger_of(status).components)


def _with_rounds(status: BatchJobStatus, known: dict[str, Round]) -> BatchJobStatus:
    return with_ledger(status, components=rounds.written(known))
