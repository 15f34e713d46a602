"""Queues, jobs and clusters for the scheduler's tests, in as few words as the case needs. Amounts in GPUs."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from batch_operator.api.v1alpha1.batch_queue import QueueRecord
from batch_operator.scheduling.observed import Cluster, Holder, Node, PodSet, WaitingJob
from batch_operator.scheduling.waiting import by_kind
from tests.builders import NOW

GPU = "nvidia.com/gpu"
Q = "research"


def queue(gpus: int | None = 8, **changes: Any) -> QueueRecord:
    return QueueRecord(**{"name": Q, "quota": {} if gpus is None else {GPU: gpus * 1000}, **changes})


def pods(gpus: int, **changes: Any) -> tuple[PodSet, ...]:
    """As many pods, each of one GPU."""
    return (PodSet(gpus, ((GPU, 1000),), **changes),)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def waiting(uid: str, gpus: int = 1, *, age: float = 600, **changes: Any) -> WaitingJob:
    given = {"namespace": "team-a", "name": f"job-{uid}", "queue": Q, "pods": pods(gpus), "queued_at": ago(age)}
    return WaitingJob(uid=uid, **{**given, **changes})


def holder(uid: str, gpus: int = 1, *, age: float = 600, **changes: Any) -> Holder:
    given = {"namespace": "team-a", "name": f"job-{uid}", "queue": Q, "pods": pods(gpus), "admitted_at": ago(age)}
    return Holder(uid=uid, **{**given, **changes})


def cluster(
    jobs: Iterable[WaitingJob] = (), holders: Iterable[Holder] = (), *, of: QueueRecord | None = None, **changes: Any
) -> Cluster:
    known = of or queue()
    return Cluster(
        **{"now": NOW, "queues": {known.name: known}, "kinds": by_kind(jobs), "holders": tuple(holders), **changes}
    )


def nodes(*gpus: int) -> tuple[Node, ...]:
    """Nodes a, b, c … of so many GPUs."""
    return tuple(Node("abcdefgh"[number], {GPU: each * 1000}) for number, each in enumerate(gpus))


def big(count: int, gpus: int, **changes: Any) -> tuple[PodSet, ...]:
    """So many pods of so many GPUs."""
    return (PodSet(count, ((GPU, gpus * 1000),), **changes),)


def on(uid: str, gpus: int, where: str, **changes: Any) -> Holder:
    """A job with a pod of so many GPUs on each of these nodes."""
    placed = tuple((name, *big(1, gpus)) for name in where)
    return holder(uid, **{"pods": big(len(where), gpus), "placed": placed, **changes})


def node(gpus: int, **labels: str) -> Node:
    return Node(
        "node", {GPU: gpus * 1000, "cpu": 64_000}, {key.replace("_", "."): value for key, value in labels.items()}
    )
