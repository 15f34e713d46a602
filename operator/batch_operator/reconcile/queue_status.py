"""A Queue's status: what runs, what waits, and who is next. Called by handlers.telling."""

from collections.abc import Mapping
from datetime import datetime

from batch_operator.api import quantities
from batch_operator.api.v1alpha1.batch_queue import QueueRecord, QueueStatus, Stop
from batch_operator.api.v1alpha1.conditions import Condition, set_condition
from batch_operator.api.words import shortened
from batch_operator.scheduling.decisions import QueueState

READY = "Ready"


def wanted(queue: QueueRecord, state: QueueState, first: str, now: datetime) -> QueueStatus:
    """`first`: the first in line and what it waits for, in words; "" where nobody waits."""
    used = {resource: max(amount, 0) for resource, amount in state.used.items()}
    free = {resource: max(amount, 0) for resource, amount in state.free.items()}
    return QueueStatus(
        pending=state.pending,
        admitted=state.admitted,
        usage=_usage(queue, used) or None,
        next=shortened(first, 300) or None,
        used=_written(used) or None,
        free=_written(free) or None,
        conditions=list(set_condition(queue.status.conditions or (), _ready(queue, now))),
        observedGeneration=queue.generation,
    )


def _ready(queue: QueueRecord, now: datetime) -> Condition:
    ready, reason, message = True, "Ready", ""
    if queue.problem:
        ready, reason, message = False, "Invalid", f"it admits nothing: {queue.problem}"
    elif queue.stop is not Stop.NONE:
        ready, reason, message = False, "Stopped", f"spec.stop is {queue.stop}"
    return Condition(
        type=READY,
        status="True" if ready else "False",
        reason=reason,
        message=message,
        lastTransitionTime=now,
        observedGeneration=queue.generation,
    )


def _usage(queue: QueueRecord, used: Mapping[str, int]) -> str:
    return ", ".join(
        f"{quantities.words(resource, used.get(resource, 0))}/{quantities.words(resource, limit)} {resource}"
        for resource, limit in queue.quota.items()
    )


def _written(amounts: Mapping[str, int]) -> dict[str, str]:
    return {resource: quantities.words(resource, amount) for resource, amount in amounts.items()}
