"""The conditions of a BatchJob: their types, the reasons used with them, and how one is set.

`Complete` and `Failed` mean what they mean for batch/v1 Job; `Finished` covers both, for
``kubectl wait --for=condition=Finished``. `Stalled` is True only where nothing but a change of the
spec or of the registry helps (the kstatus convention). A cancelled job is `Failed`, reason Cancelled.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from batch_operator.api.v1alpha1.schema_types import ApiModel, Timestamp


class ConditionType(StrEnum):
    ADMITTED = "Admitted"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    PREEMPTED = "Preempted"
    COMPLETE = "Complete"
    FAILED = "Failed"
    FINISHED = "Finished"
    STALLED = "Stalled"


class Reason(StrEnum):
    """Reasons of conditions and of Events. One word each, stable: scripts compare them."""

    ADMITTED = "Admitted"
    PODS_RUNNING = "PodsRunning"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPING = "Stopping"
    RETRYING = "Retrying"
    BACK_OFF = "BackingOff"
    PREEMPTED = "Preempted"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    CANCELLED = "Cancelled"
    RETRY_REQUESTED = "RetryRequested"
    REQUEST_REFUSED = "RequestRefused"
    KEPT = "Kept"
    RESOLVED = "Resolved"
    PIPELINE_NOT_FOUND = "PipelineNotFound"
    AMBIGUOUS_PIPELINE = "AmbiguousPipeline"
    INVALID_PIPELINE = "InvalidPipeline"
    CREATE_REFUSED = "CreateRefused"
    NAMESPACE_QUOTA = "NamespaceQuota"
    # why the queue has not admitted it yet, the first that applies
    QUEUE_NOT_FOUND = "QueueNotFound"
    QUEUE_STOPPED = "QueueStopped"
    EXCEEDS_MAX_QUOTA = "ExceedsMaxQuota"
    NO_MATCHING_NODE = "NoMatchingNode"
    WAITING_FOR_QUOTA = "WaitingForQuota"
    WAITING_FOR_PREEMPTION = "WaitingForPreemption"
    HANDED_OVER = "HandedOver"
    """Kueue decides on its admission, not a Queue of ours."""
    # the error codes of status.error, as condition reasons
    INVALID_REQUEST = "InvalidRequest"
    START_FAILED = "StartFailed"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    PREEMPTIONS_EXHAUSTED = "PreemptionsExhausted"
    INPUTS_FAILED = "InputsFailed"
    ASSIGN_TIMEOUT = "AssignTimeout"
    START_TIMEOUT = "StartTimeout"
    RUN_TIMEOUT = "RunTimeout"
    TAMPERED = "Tampered"

    @classmethod
    def of_code(cls, code: str) -> "Reason":
        """``INVALID_REQUEST`` -> InvalidRequest; a code of another version -> Failed."""
        word = "".join(word.capitalize() for word in code.split("_"))
        return cls(word) if word in cls._value2member_map_ else cls.FAILED


class Condition(ApiModel):
    """One condition, as Kubernetes' tools read it."""

    type: str = Field(description="The condition's name.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: str = Field(description="One word for why.")
    message: str = Field("", description="A sentence for people.")
    lastTransitionTime: Timestamp = Field(description="When status last changed.")
    observedGeneration: int | None = Field(None, description="The generation that this condition is about.")


def set_condition(conditions: Iterable[Condition], new: Condition) -> tuple[Condition, ...]:
    """The conditions with `new` in place of the one of its type; lastTransitionTime moves only with status."""
    result: list[Condition] = []
    for old in conditions:
        if old.type != new.type:
            result.append(old)
        elif old.status == new.status:
            new = new.model_copy(update={"lastTransitionTime": old.lastTransitionTime})
    result.append(new)
    return tuple(sorted(result, key=_order))


def find(conditions: Iterable[Condition] | None, kind: ConditionType) -> Condition | None:
    return next((c for c in conditions or () if c.type == kind), None)


def is_true(conditions: Iterable[Condition] | None, kind: ConditionType) -> bool:
    """Whether the condition of this type is there with status True."""
    found = find(conditions, kind)
    return found is not None and found.status == "True"


def make(kind: ConditionType, status: bool, reason: Reason, message: str, now: datetime) -> Condition:
    return Condition(
        type=kind,
        status="True" if status else "False",
        reason=reason,
        message=message,
        lastTransitionTime=now,
    )


_ORDER = {kind.value: place for place, kind in enumerate(ConditionType)}


def _order(condition: Condition) -> int:
    return _ORDER.get(condition.type, len(_ORDER))
