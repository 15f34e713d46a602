"""Objects for tests, as few words as the case needs: make_batchjob(...), make_pipeline(...), make_pod(...)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from batch_operator.api import names
from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batch_queue import QueueRecord
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.api.v1alpha1.decoding import decode_job
from batch_operator.reconcile import batchjob as job_reconcile
from batch_operator.reconcile import queue_entry
from batch_operator.reconcile.plan import Plan
from batch_operator.reconcile.status_write import as_written
from batch_operator.scheduling.observed import WaitingJob
from batch_operator.snapshot import JobSnapshot, PipelineRecord, PodRecord, RuleSettings, Turn, decode_pod

NOW = datetime(2026, 4, 14, 10, 0, 0, tzinfo=UTC)
GPU = "nvidia.com/gpu"
JOB_UID = "0190f3a2-5b6c-4d7e-8f90-a1b2c3d4e5f6"


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def files(count: int) -> list[dict[str, Any]]:
    return [{"file_id": f"day_{number}.csv"} for number in range(count)]


def make_spec(**changes: Any) -> dict[str, Any]:
    """A spec over the pipeline of make_pipeline(): four inputs, two labelled examples, two pods."""
    spec: dict[str, Any] = {
        "name": "tep-classification",
        "pipeline_type": "batch",
        "pipeline_key": "classify",
        "inputs": {
            "worker.inference": files(4),
            "worker.n_shots": [
                {"file_id": "normal.csv", "metadata": {"class": "normal"}},
                {"file_id": "fault.csv", "metadata": {"class": "fault"}},
            ],
        },
        "parameters": {"worker": {"parallelism": 2, "config": {"batch_size": 16}}},
    }
    spec.update(changes)
    return {key: value for key, value in spec.items() if value is not None}


def make_raw_batchjob(
    spec: Mapping[str, Any] | None = None, status: Mapping[str, Any] | None = None, **metadata: Any
) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "BatchJob",
        "metadata": {
            "namespace": "team-a",
            "name": "tep",
            "uid": JOB_UID,
            "generation": 1,
            "resourceVersion": "100",
            "creationTimestamp": "2026-04-14T10:00:00Z",
            **metadata,
        },
        "spec": dict(spec if spec is not None else make_spec()),
        "status": dict(status or {}),
    }


def make_batchjob(
    spec: Mapping[str, Any] | None = None, status: Mapping[str, Any] | None = None, **metadata: Any
) -> BatchJob:
    return decode_job(make_raw_batchjob(spec, status, **metadata))


def make_pipeline_spec(**changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "key": "classify",
        "version": "1.1.1",
        "type": "batch",
        "status": "published",
        "input_ports": [
            {"name": "worker.inference", "distribute": "scatter", "tracked": True, "required": True},
            {
                "name": "worker.n_shots",
                "distribute": "replicate",
                "tracked": False,
                "required": True,
                "required_metadata": ["class"],
            },
        ],
        "output_ports": [{"name": "worker.results"}],
        "components": {"worker": {"image": "example.org/classify:1", "max_parallelism": 8}},
        "default_config": {"worker": {"parallelism": 1, "config": {"batch_size": 32, "model_type": "rocket_1"}}},
        "user_config_schema": {
            "worker": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"batch_size": {"type": "integer", "minimum": 1}},
            }
        },
        "storage": {"inputs_url": "file:///data/files", "outputs_url": "file:///data/outputs"},
    }
    spec.update(changes)
    return {key: value for key, value in spec.items() if value is not None}


def make_pipeline(name: str = "classify-1.1.1", namespace: str = "", **changes: Any) -> PipelineRecord:
    """A record of the registry; `namespace` empty: a ClusterPipeline."""
    uid = str(uuid5(NAMESPACE_OID, f"{namespace}/{name}"))
    return PipelineRecord(uid, namespace, name, "5", make_pipeline_spec(**changes))


def make_snapshot(**changes: Any) -> JobSnapshot:
    return replace(JobSnapshot(pipelines=(make_pipeline(),), org_id="team-a", settings=RuleSettings()), **changes)


def reconcile(job: BatchJob, seen: JobSnapshot, now: datetime) -> Plan:
    """As reconcile.batchjob, in a queue that has room for everybody; a snapshot with a turn keeps it."""
    entry = queue_entry.entry(job, seen.pods)
    if seen.turn is None and isinstance(entry, WaitingJob):
        seen = replace(seen, turn=Turn(is_granted=True, shape=entry.shape))
    plan = job_reconcile.reconcile(job, seen, now)
    if seen.turn is None and plan.ask is not None:
        return job_reconcile.reconcile(job, replace(seen, turn=Turn(is_granted=True, shape=plan.ask.shape)), now)
    return plan


def make_pod(index: int = 0, phase: str = "Running", **changes: Any) -> PodRecord:
    """A pod of make_batchjob()'s component worker; inputs: the block that the default job gives this index."""
    attempt = changes.pop("attempt", 0)
    made = PodRecord(
        namespace="team-a",
        name=names.pod_name("tep", JOB_UID, "worker", index, attempt),
        uid=str(uuid5(NAMESPACE_OID, f"pod-{index}-{attempt}")),
        resource_version="200",
        owner_uid=JOB_UID,
        job_name="tep",
        component="worker",
        index=index,
        attempt=attempt,
        inputs=f"{2 * index}-{2 * index + 1}",
        phase=phase,
        node="node-1",
        created_at=NOW,
        started_at=NOW + seconds(2) if phase != "Pending" else None,
        exit_code={"Succeeded": 0, "Failed": 1}.get(phase),
    )
    return replace(made, **changes)


def make_raw_pod(pod: PodRecord) -> dict[str, Any]:
    """The least of a pod that decode_pod() reads back as this record's identity and phase."""
    owner = {"apiVersion": names.API_VERSION, "name": pod.job_name, "uid": pod.owner_uid, "controller": True}
    labels = {names.COMPONENT_LABEL: pod.component, names.INDEX_LABEL: str(pod.index)}
    return {
        "metadata": {
            "namespace": pod.namespace,
            "name": pod.name,
            "uid": pod.uid,
            "resourceVersion": pod.resource_version,
            "labels": labels | {names.ATTEMPT_LABEL: str(pod.attempt)},
            "annotations": {names.INPUTS_ANNOTATION: pod.inputs},
            "ownerReferences": [owner],
        },
        "status": {"phase": pod.phase},
    }


def record_of(manifest: Mapping[str, Any], number: int = 0, status: Mapping[str, Any] | None = None) -> PodRecord:
    """The record of a pod that was created from this manifest."""
    metadata = manifest["metadata"] | {
        "uid": str(uuid5(NAMESPACE_OID, manifest["metadata"]["name"])),
        "resourceVersion": str(300 + number),
        "creationTimestamp": "2026-04-14T10:00:01Z",
    }
    return decode_pod({**manifest, "metadata": metadata, "status": dict(status or {"phase": "Pending"})})


def after(job: BatchJob, plan: Plan, spec: Mapping[str, Any] | None = None) -> BatchJob:
    """The job as the next pass sees it, once the plan's status is written. `spec`: as it is stored, for a job that
    has ended, whose inputs the operator has let go."""
    if plan.status is None:
        return job
    version = str(int(job.resource_version) + 1)
    written = as_written(plan.status)
    stored = spec or job.spec.model_dump(exclude_none=True)
    raw = make_raw_batchjob(stored, written, name=job.name, resourceVersion=version, generation=job.generation)
    return decode_job(raw).model_copy(
        update={
            name: getattr(job, name) for name in ("retry_requested", "cancel_requested", "tracked_by", "kueue_queue")
        }
    )


def status_of(plan: Plan) -> Any:
    """The status that the plan writes; typed Any, so that a test reads it without asserting what it has."""
    assert plan.status is not None, f"nothing written: {plan.message}"
    return plan.status


def admitted(job: BatchJob | None = None, snapshot: JobSnapshot | None = None) -> tuple[BatchJob, JobFile]:
    """A job after its first pass, and the job file that was pinned."""
    job = job or make_batchjob()
    plan = reconcile(job, snapshot or make_snapshot(), NOW)
    assert plan.job_file is not None, plan.message
    return after(job, plan), plan.job_file


def run_to(job: BatchJob, snapshot: JobSnapshot, at: float = 0) -> tuple[BatchJob, Plan]:
    """One pass `at` seconds after the job was made -> (the job with the plan's status, the plan)."""
    plan = reconcile(job, snapshot, NOW + seconds(at))
    return after(job, plan), plan


def two_components() -> tuple[dict[str, Any], dict[str, Any]]:
    """(spec, pipeline's spec) of a job with four inputs and two pods for each of two components."""
    ports = make_pipeline_spec()["input_ports"]
    scores = {"name": "scorer.tables", "distribute": "scatter", "tracked": True, "required": True}
    pipeline = make_pipeline_spec(
        input_ports=[*ports, scores],
        components={name: {"image": f"example.org/{name}:1", "max_parallelism": 8} for name in ("worker", "scorer")},
        default_config={name: {"parallelism": 2, "config": {}} for name in ("worker", "scorer")},
        user_config_schema=None,
    )
    inputs = make_spec()["inputs"] | {"scorer.tables": files(4)}
    return make_spec(inputs=inputs, parameters=None), pipeline


def make_queue(gpus: int | None = 8, name: str = "research", **changes: Any) -> QueueRecord:
    """A Queue with so many GPUs; None: without a quota."""
    quota = {} if gpus is None else {GPU: gpus * 1000}
    return replace(QueueRecord(name, f"queue-{name}", "1", 1, quota), **changes)


def make_queued_job(
    name: str, gpus: int = 1, state: str = "PENDING", reason: str = "WaitingForQuota", **changes: Any
) -> BatchJob:
    """A job of team-a in the Queue research, as many pods as GPUs; by its state it waits, or holds them since NOW.

    `changes`: of the object's metadata, but for `queue` and `suspend` (spec), `ledger`, `admission` and `status`.
    """
    queue = changes.pop("queue", "research")
    spec = make_spec(queue=queue, suspend=changes.pop("suspend", None))
    pods = {"worker": {"count": gpus, "requests": {GPU: "1"}}}
    holds = state in ("ADMITTED", "RUNNING")
    given = {"queue": queue, "admitted_at": "2026-04-14T10:00:00Z"} if holds else {}
    ledger = {
        "spec_hash": "0" * 64,
        "components": {"worker": {"parallelism": gpus}},
        "admission": {"pods": pods, **given, **changes.pop("admission", {})},
        **changes.pop("ledger", {}),
    }
    admitted = {"type": "Admitted", "status": "True" if holds else "False", "reason": "Admitted" if holds else reason}
    condition = {**admitted, "message": "", "lastTransitionTime": "2026-04-14T10:00:00Z"}
    status = {"status": state, "conditions": [condition], "ledger": ledger, **changes.pop("status", {})}
    return make_batchjob(spec, status, name=name, uid=name, **changes)


def pod_of(job: BatchJob, index: int = 0, phase: str = "Running", **changes: Any) -> PodRecord:
    """A pod of make_queued_job(): one GPU."""
    identity = {"uid": f"{job.uid}-{index}", "owner_uid": job.uid, "job_name": job.name, "name": f"{job.name}-{index}"}
    return make_pod(index, phase, **{**identity, "queue": job.spec.queue, "requests": ((GPU, 1000),), **changes})
