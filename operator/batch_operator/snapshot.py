"""What was observed: frozen records, made by cluster.gather and read by everything pure.

Nothing here is ever changed in place; a newer observation is a new record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from batch_operator.api import names, nesting, quantities
from batch_operator.api.job_file import JobFile
from batch_operator.api.report import Report
from batch_operator.api.v1alpha1.batchjob import AdmissionLedger

TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})
OUT_OF_SERVICE_TAINT = "node.kubernetes.io/out-of-service"
_DISRUPTIONS = ("DisruptionTarget", "TerminationTarget")
"""KEP-3329's mark of a pod that is taken away, and Kueue's."""


@dataclass(frozen=True, slots=True)
class PodRecord:
    """One worker pod, reduced to what a decision needs (a whole pod costs 35 KiB, this 0.3)."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    owner_uid: str
    job_name: str
    component: str
    index: int
    attempt: int
    queue: str = ""
    """The queue whose quota it holds."""
    requests: tuple[tuple[str, int], ...] = ()
    """Resource and amount, thousandths."""
    inputs: str = ""
    """The block of input numbers that was frozen into the pod when it was made."""
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    node: str = ""
    created_at: datetime | None = None
    started_at: datetime | None = None
    """When the container first ran; None while it never did."""
    finished_at: datetime | None = None
    exit_code: int | None = None
    container_reason: str = ""
    """Why the container ended, in the kubelet's word: Completed, Error, OOMKilled …"""
    termination_message: str = ""
    waiting_reason: str = ""
    waiting_message: str = ""
    unschedulable: str = ""
    """The scheduler's words, while it finds no node."""
    gate: str = ""
    """What keeps the scheduler from looking at it, e.g. Kueue's gate; "" where nothing does."""
    disruption: str = ""
    """Why somebody takes it away, in the words of its condition DisruptionTarget or TerminationTarget; "" if nobody."""
    node_unready: bool = False
    """Nothing is heard of its node."""
    node_gone: bool = False
    """Its node is no more, or is tainted out-of-service: whatever the pod's status says, it does not run."""
    deleting: bool = False
    deletion_asked_at: datetime | None = None
    deletion_due: datetime | None = None
    """When its grace period ends."""
    deleted: bool = False
    """Gone from the API server; the record is what was last seen of it."""

    @property
    def is_terminal(self) -> bool:
        return self.phase in TERMINAL_PHASES

    @property
    def is_live(self) -> bool:
        """It may still run, now or later."""
        return not self.deleted and not self.is_terminal and not self.node_gone

    @property
    def is_gated(self) -> bool:
        """It waits for somebody who holds it back from the scheduler on purpose: it does not fail to start."""
        return self.gate != "" and self.is_live

    def following(self, older: "PodRecord") -> "PodRecord":
        """This record, with what only an older one of the same pod knew: when its deletion was asked for first. The
        kubelet's own delete, once the containers have ended, sets the grace period to 0 and the time to that moment."""
        first = older.deletion_asked_at
        if first is None or self.deletion_asked_at is None or first >= self.deletion_asked_at:
            return self
        return replace(self, deletion_asked_at=first)


def decode_pod(raw: Mapping[str, Any]) -> PodRecord:
    """A pod as the API server sends it -> PodRecord. Total: a foreign pod with our label must not break us."""
    meta, status = raw["metadata"], raw.get("status") or {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    container: Mapping[str, Any] = next(
        (c for c in status.get("containerStatuses") or () if c["name"] == names.CONTAINER_NAME), {}
    )
    state: Mapping[str, Any] = container.get("state") or {}
    running, ended, waiting = (state.get(key) or {} for key in ("running", "terminated", "waiting"))
    scheduled: Mapping[str, Any] = next(
        (c for c in status.get("conditions") or () if c.get("type") == "PodScheduled"), {}
    )
    disrupted: Mapping[str, Any] = next(
        (c for c in status.get("conditions") or () if c.get("type") in _DISRUPTIONS and c.get("status") == "True"), {}
    )
    gates: list[Mapping[str, Any]] = (raw.get("spec") or {}).get("schedulingGates") or []
    owner: Mapping[str, Any] = next((o for o in meta.get("ownerReferences") or () if o.get("controller")), {})
    return PodRecord(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        owner_uid=owner.get("uid", "") if owner.get("apiVersion") == names.API_VERSION else "",
        job_name=owner.get("name", ""),
        component=labels.get(names.COMPONENT_LABEL, ""),
        index=_number(labels.get(names.INDEX_LABEL)),
        attempt=_number(labels.get(names.ATTEMPT_LABEL)),
        queue=labels.get(names.QUEUE_LABEL, ""),
        requests=_requests(raw.get("spec") or {}),
        inputs=annotations.get(names.INPUTS_ANNOTATION, ""),
        phase=status.get("phase", "Pending"),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        node=(raw.get("spec") or {}).get("nodeName", ""),
        created_at=_time(meta.get("creationTimestamp")),
        started_at=_started(running.get("startedAt") or ended.get("startedAt")),
        finished_at=_time(ended.get("finishedAt")),
        exit_code=ended.get("exitCode"),
        container_reason=ended.get("reason", ""),
        termination_message=ended.get("message", ""),
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        unschedulable=scheduled.get("message", "")
        if scheduled.get("status") == "False" and scheduled.get("reason") != "SchedulingGated"
        else "",
        gate=gates[0].get("name", "") if gates else "",
        disruption=": ".join(w for w in (disrupted.get("reason"), disrupted.get("message")) if w)
        or disrupted.get("type", ""),
        deleting="deletionTimestamp" in meta,
        deletion_asked_at=_deletion_asked_at(meta),
        deletion_due=_time(meta.get("deletionTimestamp")),
    )


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node, reduced to whether what runs on it can still be believed in."""

    name: str
    uid: str
    resource_version: str
    ready: bool
    """Its kubelet says so, and lately: False also where the node controller has not heard of it."""
    out_of_service: bool
    """Somebody declared it dead for good (the taint out-of-service)."""
    takes_pods: bool = True
    """Not cordoned."""
    allocatable: tuple[tuple[str, int], ...] = ()
    """Resource and amount, thousandths."""
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""


def decode_node(raw: Mapping[str, Any]) -> NodeRecord:
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    return NodeRecord(
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        ready=any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ()),
        out_of_service=any(taint.get("key") == OUT_OF_SERVICE_TAINT for taint in spec.get("taints") or ()),
        takes_pods=not spec.get("unschedulable"),
        allocatable=_amounts(tuple(sorted((status.get("allocatable") or {}).items()))),
        labels=meta.get("labels") or {},
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server would not create a child of the job: its words, and when it said so."""

    kind: str
    """Quota, PodSecurity, Forbidden or Invalid: what of it is temporary is policies.refusal's to say."""
    message: str
    at: datetime
    times: int = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """What the queue says of a job that waits."""

    is_granted: bool = False
    shape: str = ""
    """What was granted, in scheduling's words for it: a job that asks for something else by now has to ask again."""
    reason: str = ""
    words: str = ""
    is_stalled: bool = False
    position: int | None = None
    """The place in line and its length, in the steps in which they are told."""
    depth: int | None = None
    tell: bool = False
    """These may be written now, though the job's status says already that it waits."""


@dataclass(frozen=True, slots=True)
class Displaced:
    """The job has to give its quota back."""

    words: str
    preemptor: str = ""
    """The uid of the job that gets it; "" where the queue is drained."""
    admitted_at: datetime | None = None
    """The admission that it was decided of; None: any."""

    def concerns(self, admission: AdmissionLedger | None) -> bool:
        """False: of an earlier admission. Another operator has carried it out while this one was stopped."""
        return (
            admission is None
            or None in (admission.admitted_at, self.admitted_at)
            or (admission.admitted_at == self.admitted_at)
        )


@dataclass(frozen=True, slots=True)
class PipelineRecord:
    """One object of the registry; `namespace` is empty for a ClusterPipeline."""

    uid: str
    namespace: str
    name: str
    resource_version: str
    spec: Mapping[str, Any]

    @property
    def key(self) -> str:
        return str(self.spec.get("key", ""))


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What the operator's settings say that decisions depend on."""

    progress_interval: timedelta = timedelta(seconds=5)
    """Progress alone is written to status at most this often."""
    image_pull_timeout: timedelta = timedelta(minutes=5)
    start_retry_delay: timedelta = timedelta(minutes=1)
    """The wait of a job that did not start in time; it doubles with each further time."""
    progress_url: str = ""
    """Where workers report; empty: they do not."""
    ca_certificate: str = ""
    """PEM of the authority that signed the progress endpoint's certificate."""


def decode_pipeline(raw: Mapping[str, Any]) -> PipelineRecord:
    """Of a spec that nests too deep only the plain fields are kept: jobs that ask for it are told it is invalid."""
    meta, spec = raw["metadata"], raw.get("spec") or {}
    if nesting.too_deep(spec):
        spec = {key: value for key, value in spec.items() if isinstance(value, str)}
    return PipelineRecord(meta["uid"], meta.get("namespace", ""), meta["name"], meta["resourceVersion"], spec)


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """All that is known of one BatchJob beside the object itself, at one moment."""

    pods: tuple[PodRecord, ...] = ()
    """Pods whose controller is this job, by uid; also those already deleted, until the job has ended."""
    reports: Mapping[str, Report] = field(default_factory=dict)
    """The newest progress report of each pod, by pod uid; lost when the operator restarts."""
    pipelines: tuple[PipelineRecord, ...] = ()
    """The registry's objects of the job's pipeline_key, of its namespace and of the cluster."""
    job_file: JobFile | None = None
    """The job file as the job's ConfigMap holds it, not yet held against the ledger's hash; None: not there."""
    job_file_unread: bool = False
    """Nobody has looked what the ConfigMap holds: `job_file` is None, or made anew from the registry."""
    resolved: JobFile | None = None
    """What the same pass made of `pipelines` before it asked the queue; None: nothing yet."""
    org_id: str = ""
    priority: int = 0
    """Of the job's PriorityClass."""
    turn: Turn | None = None
    """None: the queue has not looked at the job yet."""
    displaced: Displaced | None = None
    namespace_labels: Mapping[str, str] | None = None
    """Of the job's namespace; None where they are not read."""
    refusal: Refusal | None = None
    settings: RuleSettings = RuleSettings()


def _deletion_asked_at(meta: Mapping[str, Any]) -> datetime | None:
    """deletionTimestamp is when the grace period ends, not when somebody asked."""
    ends = _time(meta.get("deletionTimestamp"))
    return ends - timedelta(seconds=meta.get("deletionGracePeriodSeconds") or 0) if ends else None


def _started(text: str | None) -> datetime | None:
    """A container that could not be started (StartError) has the runtime's zero time: 1970."""
    moment = _time(text)
    return moment if moment is not None and moment.year > 1970 else None


def _requests(spec: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    container: Mapping[str, Any] = next(
        (c for c in spec.get("containers") or () if c.get("name") == names.CONTAINER_NAME), {}
    )
    requests: Mapping[str, Any] = (container.get("resources") or {}).get("requests") or {}
    return _amounts(tuple(sorted((resource, str(amount)) for resource, amount in requests.items())))


@lru_cache(maxsize=4096)
def _amounts(written: tuple[tuple[str, str], ...]) -> tuple[tuple[str, int], ...]:
    """Thousandths; thousands of pods, and hundreds of nodes, share one."""
    return tuple((resource, quantities.parse(amount)) for resource, amount in written if quantities.is_quantity(amount))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else -1
