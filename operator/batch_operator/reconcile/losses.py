"""Lost pods are counted here, each once: retries and preemptions apart (design section 2).

The key of a loss is (component, index, attempt): counting moves the attempt on, in the same status write, so that
neither a crash nor a second look counts it again. Called by reconcile.running.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from batch_operator.api.job_file import JobFile
from batch_operator.policies import pod_outcome
from batch_operator.policies.effective_policy import EffectivePolicy, within
from batch_operator.policies.pod_outcome import Outcome
from batch_operator.policies.verdict import Failure
from batch_operator.reconcile.rounds import WHOLE_JOB, Pods, Round, scope, without
from batch_operator.snapshot import PodRecord

UNSTARTED_WITHOUT_BACKOFF = 2
"""Pods in a row that are lost before their start and replaced at once; the next one waits."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The job's counts; the limits count from the last retry request on."""

    retries: int
    preemptions: int
    preemption_base: int = 0
    round_failures: int = 0
    """restart_scope Job: rounds that failed since then."""


@dataclass(frozen=True, slots=True)
class Losses:
    """What was lost, once it is counted. `words` is empty where nothing was."""

    rounds: dict[str, Round]
    counts: Counts
    words: tuple[str, ...] = ()
    preempted: str = ""
    """The first preemption in words; "" where there was none."""
    failure: Failure | None = None
    """A limit is passed."""
    round_lost: bool = False
    """restart_scope Job: all pods must go before the next round."""
    resume_at: datetime | None = None
    """restart_scope Job: the next round's earliest moment."""


def count(
    file: JobFile,
    rounds: Mapping[str, Round],
    counts: Counts,
    pods: Pods,
    ended: Collection[int],
    policy: EffectivePolicy,
    now: datetime,
) -> Losses:
    """`pods`: of the current attempts; `ended`: input numbers that are completed or failed."""
    result = Losses(dict(rounds), counts)
    lost = [
        (pod, what)
        for place, pod in sorted(pods.items())
        if place[1] not in rounds[place[0]].succeeded
        and (what := pod_outcome.outcome(pod, ended)) in (Outcome.FAILED, Outcome.PREEMPTED)
    ]
    of_round = [(pod, what) for pod, what in lost if scope(file, pod.component) == WHOLE_JOB]
    for pod, what in lost:
        if scope(file, pod.component) != WHOLE_JOB:
            result = _count_index(result, pod, what, policy, now)
    if of_round:
        disrupted = any(
            pod_outcome.was_disrupted(pod) for place, pod in pods.items() if scope(file, place[0]) == WHOLE_JOB
        )
        result = _count_round(result, of_round, disrupted, policy, now)
    return result


def _count_index(so_far: Losses, pod: PodRecord, what: Outcome, policy: EffectivePolicy, now: datetime) -> Losses:
    known = so_far.rounds[pod.component]
    if what is Outcome.PREEMPTED:
        result = _preempted(so_far, pod_outcome.how_it_was_lost(pod), pod.component, policy)
        moved, wait = _unstarted(known.replaced(pod.index), pod, policy)
    else:
        number = known.failures.get(pod.index, 0) + 1
        result = _failed(so_far, pod, number, policy)
        moved, wait = known.replaced(pod.index), policy.backoff(number)
        moved = replace(moved, failures={**moved.failures, pod.index: number})
        moved = replace(moved, unstarted=without(moved.unstarted, pod.index))
    if result.failure is not None:
        return result
    if wait:
        moved = replace(moved, next_retry={**moved.next_retry, pod.index: now + wait})
    return replace(result, rounds={**result.rounds, pod.component: moved})


def _count_round(
    so_far: Losses, lost: Sequence[tuple[PodRecord, Outcome]], disrupted: bool, policy: EffectivePolicy, now: datetime
) -> Losses:
    """One loss for the whole round; a preemption explains its neighbours' failures, not the other way round."""
    preempted = disrupted or any(what is Outcome.PREEMPTED for _, what in lost)
    first = next((pod for pod, what in lost if what is Outcome.PREEMPTED), lost[0][0])
    wait = timedelta()
    rounds = dict(so_far.rounds)
    if preempted:
        words = pod_outcome.how_it_was_lost(first) if pod_outcome.was_disrupted(first) else "a pod was preempted"
        result = _preempted(so_far, words, first.component, policy)
        for pod, _ in lost:
            rounds[pod.component], wait_of_pod = _unstarted(rounds[pod.component], pod, policy)
            wait = max(wait, wait_of_pod)
    else:
        number = so_far.counts.round_failures + 1
        result = _failed(so_far, first, number, policy)
        result = replace(result, counts=replace(result.counts, round_failures=number))
        wait = policy.backoff(number)
    resume_at = now + wait if wait else None
    return replace(result, rounds=rounds, round_lost=True, resume_at=resume_at)


def _unstarted(known: Round, pod: PodRecord, policy: EffectivePolicy) -> tuple[Round, timedelta]:
    if pod_outcome.has_started(pod):
        return replace(known, unstarted=without(known.unstarted, pod.index)), timedelta()
    number = known.unstarted.get(pod.index, 0) + 1
    moved = replace(known, unstarted={**known.unstarted, pod.index: number})
    late = number - UNSTARTED_WITHOUT_BACKOFF
    return moved, policy.backoff(late) if late > 0 else timedelta()


def displaced(rounds: Mapping[str, Round], counts: Counts, words: str, policy: EffectivePolicy) -> Losses:
    """The whole job gives way in its queue: one preemption, however many pods it has."""
    return _preempted(Losses(dict(rounds), counts), words, None, policy)


def _preempted(so_far: Losses, words: str, component: str | None, policy: EffectivePolicy) -> Losses:
    counts = replace(so_far.counts, preemptions=so_far.counts.preemptions + 1)
    failure = so_far.failure
    if failure is None and not within(counts.preemptions - counts.preemption_base, policy.max_preemptions):
        failure = Failure(
            "PREEMPTIONS_EXHAUSTED",
            f"{words}; policy.max_preemptions allows {policy.max_preemptions}",
            "Request a retry when there is room for it (annotation batch-operator.dev/retry-requested-at), or raise "
            "policy.max_preemptions.",
            component=component,
        )
    return replace(
        so_far, counts=counts, words=(*so_far.words, words), preempted=so_far.preempted or words, failure=failure
    )


def _failed(so_far: Losses, pod: PodRecord, number: int, policy: EffectivePolicy) -> Losses:
    """`number`: this failure's, from 1. A failure that is not followed by a replacement is no retry."""
    words = pod_outcome.how_it_failed(pod)
    if so_far.failure is not None:
        return replace(so_far, words=(*so_far.words, words))
    if within(number, policy.max_retries):
        counts = replace(so_far.counts, retries=so_far.counts.retries + 1)
        words = f"{words}; retry {number}" + (f" of {policy.max_retries}" if policy.max_retries >= 0 else "")
        return replace(so_far, counts=counts, words=(*so_far.words, words))
    failure = Failure(
        "RETRIES_EXHAUSTED",
        f"{words}; policy.max_retries allows {policy.max_retries}",
        f"See the log: kubectl logs -n {pod.namespace} {pod.name}. Once the cause is mended, request a retry "
        "(annotation batch-operator.dev/retry-requested-at).",
        component=pod.component,
        exit_code=pod.exit_code,
    )
    return replace(so_far, words=(*so_far.words, words), failure=failure)
