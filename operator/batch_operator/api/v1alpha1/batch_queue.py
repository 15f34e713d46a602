"""Queue: how much of the cluster its jobs may use at once, in which order they get it, and who must give way.

Cluster-scoped; BatchJobs name it in ``spec.queue``. The scheduler reads QueueRecord only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from batch_operator.api import quantities
from batch_operator.api.v1alpha1.conditions import Condition
from batch_operator.api.v1alpha1.schema_types import KEY_PATTERN, ApiModel, Quantity, cel, validations

DEFAULT_QUEUE = "default"
"""The only name that needs no Queue: without one its jobs are not limited."""

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
"""Every namespace has it."""

_MOST_SECONDS = 31_536_000


class Strategy(StrEnum):
    STRICT_FIFO = "StrictFIFO"
    BEST_EFFORT_FIFO = "BestEffortFIFO"


class Preemption(StrEnum):
    NEVER = "Never"
    LOWER_PRIORITY = "LowerPriority"


class Stop(StrEnum):
    NONE = "None"
    HOLD = "Hold"
    HOLD_AND_DRAIN = "HoldAndDrain"


_LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_LABEL_KEYS = cel(f"self.all(k, k.matches('{_LABEL_KEY}'))", "match_labels names labels, e.g. team or example.org/team")
_LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]


class LabelRequirement(ApiModel):
    """One requirement of a label selector."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            cel(
                "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
                "In and NotIn take values, Exists and DoesNotExist take none",
            )
        )
    )

    key: str = Field(max_length=317, pattern=_LABEL_KEY, description="The label's key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="In, NotIn, Exists or DoesNotExist, as in a Kubernetes label selector."
    )
    values: list[_LabelValue] | None = Field(None, max_length=64, description="For In and NotIn: the values.")

    def holds(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "In":
                return labels.get(self.key) in (self.values or ())
            case "NotIn":
                return labels.get(self.key) not in (self.values or ())
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


class LabelSelector(ApiModel):
    """Selects by labels; all requirements must hold. The API server drops nulls and, from clients that do not ask it
    to be strict, names that it does not know, such as matchLabels: what is then left empty would select everything."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            cel(
                "has(self.match_labels) && self.match_labels.size() > 0 "
                "|| has(self.match_expressions) && self.match_expressions.size() > 0",
                "it must have match_labels or match_expressions; for every namespace, leave namespace_selector out",
            )
        )
    )

    match_labels: dict[str, _LabelValue] | None = Field(
        None,
        description="Labels with exactly these values.",
        json_schema_extra=validations(_LABEL_KEYS, maxProperties=32),
    )
    match_expressions: list[LabelRequirement] | None = Field(None, max_length=32, description="Further requirements.")

    @property
    def asks_for_labels(self) -> bool:
        """Whether it must be known more of a namespace than its name."""
        keys = {*(self.match_labels or {}), *(r.key for r in self.match_expressions or ())}
        return bool(keys - {NAMESPACE_NAME_LABEL})

    def selects(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in (self.match_labels or {}).items()) and all(
            requirement.holds(labels) for requirement in self.match_expressions or ()
        )


_QUOTA = cel(
    "self.all(k, type(self[k]) == int ? int(self[k]) >= 0 : isQuantity(string(self[k])))",
    'a quota is a quantity of zero or more, e.g. {nvidia.com/gpu: "64", memory: 2Ti}',
)
_RESOURCES = cel(
    "self.all(k, k in ['cpu', 'memory', 'ephemeral-storage', 'pods'] || k.matches('^[a-z0-9.-]+/[A-Za-z0-9._-]+$'))",
    "a quota names what pods ask for: cpu, memory, ephemeral-storage, nvidia.com/gpu, or pods (their number)",
)
_WEIGHTS = cel(f"self.all(k, k.matches('{KEY_PATTERN}'))", "namespace_weights names namespaces")


class QueueSpec(ApiModel):
    """Quota, order and preemption. May be changed at any time: what runs runs on."""

    quota: dict[str, Quantity] | None = Field(
        None,
        description='The most that the queue\'s jobs may hold at once, by resource, e.g. {nvidia.com/gpu: "64"}; '
        "`pods` counts the pods. A resource that is absent is not limited.",
        json_schema_extra=validations(_RESOURCES, _QUOTA, maxProperties=32),
    )
    strategy: Strategy | None = Field(
        None,
        description="StrictFIFO: the first in line blocks those behind it. BestEffortFIFO: the first that fits goes. "
        "Default: BestEffortFIFO.",
    )
    preemption: Preemption | None = Field(
        None,
        description="LowerPriority: a job may displace admitted jobs of lower priority. Never: it waits. "
        "Default: Never.",
    )
    min_runtime_seconds: int | None = Field(
        None, ge=0, le=_MOST_SECONDS, description="For so long after its admission no job is displaced. Default: 0."
    )
    namespace_selector: LabelSelector | None = Field(
        None, description="The namespaces whose jobs may use the queue. Default: every namespace."
    )
    namespace_weights: dict[str, Annotated[int, Field(ge=0, le=1000)]] | None = Field(
        None,
        description="Weights of namespaces: one of weight 2 gets twice the quota of one of weight 1, where both wait; "
        "one of weight 0 gets what others of the same priority leave. Default: 1.",
        json_schema_extra=validations(_WEIGHTS, maxProperties=1000),
    )
    reserve_after_seconds: int | None = Field(
        None,
        ge=0,
        le=_MOST_SECONDS,
        description="BestEffortFIFO: a job that waited this long and does not fit yet keeps what comes free, so that "
        "smaller jobs behind it cannot starve it. Default: 3600.",
    )
    require_matching_node: bool | None = Field(
        None,
        description="true: a job waits until all its pods have room on the nodes that are there, beside the pods of "
        "other BatchJobs; for clusters of a fixed size. false: quota is enough, so that an autoscaler sees its pods. "
        "Default: false.",
    )
    stop: Stop | None = Field(
        None,
        description="Hold: admit no more jobs. HoldAndDrain: and displace those that are admitted. Default: None.",
    )


class QueueStatus(ApiModel):
    """What runs and what waits."""

    pending: int | None = Field(None, description="Jobs that wait in line.")
    admitted: int | None = Field(None, description="Jobs that hold quota: admitted, running or just being ended.")
    usage: str | None = Field(None, description='Used of quota for people, e.g. "48/64 nvidia.com/gpu".')
    next: str | None = Field(None, description="The first in line and what it waits for, for people.")
    used: dict[str, str] | None = Field(None, description="What the queue's jobs hold, by resource of the quota.")
    free: dict[str, str] | None = Field(None, description="What is left, by resource of the quota.")
    conditions: list[Condition] | None = Field(
        None,
        description="Ready: the queue admits jobs.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    observedGeneration: int | None = Field(None, description="The generation of the spec that this status is about.")


_NAME = cel(
    f"self.metadata.name.matches('{KEY_PATTERN}')",
    "metadata.name must be a DNS label of at most 63 characters: jobs name it in spec.queue",
)


class QueueObject(ApiModel):
    """A queue of batch jobs: quota, order, preemption. BatchJobs name it in spec.queue."""

    model_config = ConfigDict(json_schema_extra=validations(_NAME))

    spec: QueueSpec
    status: QueueStatus | None = None


@dataclass(frozen=True, slots=True)
class QueueRecord:
    """A Queue as the scheduler reads it: defaults filled in, amounts in thousandths."""

    name: str
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    quota: Mapping[str, int] = field(default_factory=dict)
    strategy: Strategy = Strategy.BEST_EFFORT_FIFO
    preemption: Preemption = Preemption.NEVER
    min_runtime: timedelta = timedelta(0)
    selector: LabelSelector | None = None
    weights: Mapping[str, int] = field(default_factory=dict)
    reserve_after: timedelta = timedelta(hours=1)
    require_matching_node: bool = False
    stop: Stop = Stop.NONE
    status: QueueStatus = QueueStatus()
    problem: str = ""
    """What could not be read of the spec, e.g. of a stored object that predates a rule of the schema: the queue then
    admits nothing, and says so."""
    namespace: str = ""
    """Always empty: a Queue is cluster-scoped."""

    @property
    def asks_for_labels(self) -> bool:
        """Whether it must be known more of a namespace than its name."""
        return self.selector is not None and self.selector.asks_for_labels


def decode_queue(raw: Mapping[str, Any]) -> QueueRecord:
    """A Queue as the API server sends it. Total: one that cannot be read becomes one that admits nothing."""
    meta, status = raw["metadata"], _status(raw.get("status") or {})
    identity = QueueRecord(
        meta["name"], meta["uid"], meta["resourceVersion"], meta.get("generation", 0), status=status, stop=Stop.HOLD
    )
    try:
        spec = QueueSpec.model_validate(raw.get("spec") or {})
        quota = {name: quantities.parse(amount, down=True) for name, amount in (spec.quota or {}).items()}
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in ("spec", *first["loc"]))
        return _unreadable(identity, f"{place}: {first['msg']}")
    except ValueError as error:
        return _unreadable(identity, f"spec.quota: {error}")
    return QueueRecord(
        name=identity.name,
        uid=identity.uid,
        resource_version=identity.resource_version,
        generation=identity.generation,
        quota=quota,
        strategy=spec.strategy or Strategy.BEST_EFFORT_FIFO,
        preemption=spec.preemption or Preemption.NEVER,
        min_runtime=timedelta(seconds=spec.min_runtime_seconds or 0),
        selector=spec.namespace_selector,
        weights=spec.namespace_weights or {},
        reserve_after=timedelta(seconds=3600 if spec.reserve_after_seconds is None else spec.reserve_after_seconds),
        require_matching_node=bool(spec.require_matching_node),
        stop=spec.stop or Stop.NONE,
        status=status,
    )


def _unreadable(identity: QueueRecord, problem: str) -> QueueRecord:
    return QueueRecord(
        identity.name,
        identity.uid,
        identity.resource_version,
        identity.generation,
        stop=Stop.HOLD,
        status=identity.status,
        problem=problem,
    )


def _status(raw: Mapping[str, Any]) -> QueueStatus:
    """An unreadable status is written anew."""
    try:
        return QueueStatus.model_validate(raw)
    except ValidationError:
        return QueueStatus()
