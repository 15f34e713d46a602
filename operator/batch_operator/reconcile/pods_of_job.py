"""Which pods a job should have now, and their state in words. Called by reconcile.admission and reconcile.running."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.policies.effective_policy import effective
from batch_operator.reconcile.rounds import Pods, Round
from batch_operator.resources.pod import Place, pod
from batch_operator.snapshot import PodRecord, RuleSettings


def missing_places(rounds: Mapping[str, Round], pods: Pods) -> list[tuple[str, int]]:
    """Indexes that have neither ended nor got a pod."""
    return [(name, i) for name, known in rounds.items() for i in known.open_indexes if (name, i) not in pods]


def is_due(rounds: Mapping[str, Round], place: tuple[str, int], now: datetime) -> bool:
    """Whether the index may have its pod now: not in a back-off."""
    name, index = place
    return (when := rounds[name].next_retry.get(index)) is None or when <= now


def missing(
    job: BatchJob,
    file: JobFile,
    rounds: Mapping[str, Round],
    pods: Pods,
    ended: Collection[int],
    settings: RuleSettings,
    now: datetime,
) -> tuple[dict[str, Any], ...]:
    """Manifests of the pods that status authorises, that are due and not there. A pod's block is what is still open
    of its index's."""
    grace = effective(job.policy, file.retry_policy).grace_seconds
    blocks = {name: known.blocks(file.numbers.get(name)) for name, known in rounds.items()}
    manifests: list[dict[str, Any]] = []
    for name, index in missing_places(rounds, pods):
        if not is_due(rounds, (name, index), now):
            continue
        known = rounds[name]
        block = tuple(number for number in blocks[name][index] if number not in ended)
        place = Place(name, index, known.attempt_of(index), block, known.parallelism)
        manifests.append(pod(job, file, place, settings, grace))
    return tuple(manifests)


def starting_message(count: int) -> str:
    return f"admitted: starting {count} pod{'s' if count != 1 else ''}"


def waiting_words(pods: Iterable[PodRecord]) -> str:
    """Why some pods do not run yet, or do not end; "" where all do."""
    pods = list(pods)
    words = [p.unschedulable for p in pods if p.is_live and p.unschedulable]
    remark = f"; {len(words)} of {len(pods)} pods wait for a node: {words[0]}" if words else ""
    gated = [p for p in pods if p.is_gated]
    if gated:
        remark += f"; {len(gated)} of {len(pods)} pods are held back by the scheduling gate {gated[0].gate}"
    stuck = [p for p in pods if p.is_live and p.deleting and p.node_unready]
    if stuck:
        remark += (
            f"; pod {stuck[0].name} cannot end, since node {stuck[0].node} is not Ready: if it is gone for good, "
            "delete its Node object"
        )
    return remark
