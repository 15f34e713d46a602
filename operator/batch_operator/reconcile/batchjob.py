"""BatchJob: (object, snapshot, now) -> Plan. Pure and total.

It advances only on what was observed, never on what was requested: a lost write repeats itself. Called by
handlers.reconciler for every key that the workqueue hands out.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobStatus, ComponentLedger, Ledger
from batch_operator.api.v1alpha1.conditions import ConditionType, Reason, is_true
from batch_operator.api.v1alpha1.pipeline import PipelineSpec
from batch_operator.policies import effective_policy, pipeline_resolution, progress, requests, timeouts
from batch_operator.policies import inputs as inputs_policy
from batch_operator.policies import parameters as parameters_policy
from batch_operator.policies.verdict import Failure, InvalidRequest, Stalled
from batch_operator.reconcile import admission, finished, queue_entry, running, status_write, stopping
from batch_operator.reconcile import status as statuses
from batch_operator.reconcile.plan import Event, Plan
from batch_operator.resources import job_document
from batch_operator.resources.configmap import configmap as build_configmap
from batch_operator.snapshot import JobSnapshot

_READ_FIRST = Plan("ReadingJobFile", "its ConfigMap is read before a pod is made", read_job_file=True)


def reconcile(job: BatchJob, seen: JobSnapshot, now: datetime) -> Plan:
    """`now`: whole seconds in UTC, as status holds them."""
    if job.deleting:
        return Plan("Deleting", "the object is being deleted; its children go with it")
    if job.unreadable_status:
        return Plan("UnreadableStatus", f"left alone, its status is of another version: {job.unreadable_status}")
    if job.status.has_ended:
        plan, status = finished.look(job, seen, now)
        return _write(job, status, seen, now, plan)
    plan, status = _living(job, seen, now)
    if plan.ask is not None or plan.read_job_file:
        return plan
    refused = requests.refusal(job) if job.status.status is not None else ""
    if refused and not (status.status and status.status.is_terminal):
        ledger = requests.retry_answered(status.ledger, job.retry_requested)
        status = status.model_copy(update={"ledger": ledger})
        plan = replace(plan, event=Event("Warning", Reason.REQUEST_REFUSED, refused))
    return _write(job, status, seen, now, plan)


def _living(job: BatchJob, seen: JobSnapshot, now: datetime) -> tuple[Plan, BatchJobStatus]:
    status = statuses.first_sight(job, seen.org_id)
    if status.ledger is None or status.ledger.spec_hash is None:
        return _first_sight(job, status, seen, now)
    file, is_stored = seen.job_file, True
    if file is None or file.sha256 != status.ledger.spec_hash:
        file, is_stored = _rebuilt(job, status, seen), False
    if file is None and seen.job_file_unread:
        return _READ_FIRST, status
    if file is None:
        policy = effective_policy.effective(job.policy)
        if status.ledger.stopping is not None:
            return stopping.go_on(job, status, seen, now, policy)
        return stopping.stop(job, status, stopping.failing(job, _tampered()), seen, now, policy)
    had_pods = not queue_entry.is_waiting(status)
    plan, status = running.run(job, status, file, seen, now)
    if seen.job_file_unread and plan.pods:
        return _READ_FIRST, status
    if had_pods and queue_entry.is_waiting(status):
        status = admission.asking_again(status, file)
    ends = status.status is None or status.status.is_terminal
    if not is_stored and seen.job_file_unread:
        plan = replace(plan, job_file=file)
    elif not is_stored and not ends and (plan.pods or running.held_back_until(seen, now) is None):
        plan = replace(plan, configmap=build_configmap(job, file, seen.settings.ca_certificate), job_file=file)
    return plan, status


def _first_sight(
    job: BatchJob, status: BatchJobStatus, seen: JobSnapshot, now: datetime
) -> tuple[Plan, BatchJobStatus]:
    """Resolve and pin, and ask the queue. What is pinned is written before anything is built on it."""
    if value := requests.cancel(job):
        status = status.model_copy(update={"ledger": requests.cancel_answered(status.ledger, value)})
        status = statuses.cancelled(status, now, now)
        message = status.message or ""
        return Plan("Cancelled", message, event=Event("Normal", Reason.CANCELLED, message)), status
    try:
        if job.problem:
            raise InvalidRequest(job.problem, "Apply a corrected job under another name.")
        file = seen.resolved or _resolve(job, seen, job.spec.pipeline_version, pinned=False)
    except InvalidRequest as refused:
        why = statuses.error(job, Failure("INVALID_REQUEST", refused.message, refused.suggestion))
        event = Event("Warning", Reason.FAILED, refused.message)
        return Plan("InvalidRequest", refused.message, event=event), statuses.failed(status, why, now)
    if isinstance(file, Stalled):
        return _stalled(job, status, file, now)
    ledger = (status.ledger or Ledger()).model_copy(
        update={
            "spec_hash": file.sha256,
            "components": {name: ComponentLedger(parallelism=file.parallelism(name)) for name in file.components},
            "pipeline_ttl_seconds": file.retry_policy.ttl_seconds_after_finished,
            "pipeline_ttl_deletes_job": file.retry_policy.ttl_deletes_job,
        }
    )
    done = progress.fold(file, ledger, (), {})
    status = statuses.with_progress(
        status.model_copy(
            update={
                "pipeline_type": file.document["pipeline_type"],
                "pipeline_version": file.document["pipeline_version"],
                "parameters": file.document["parameters"],
                "outputs_url": job_document.outputs_url(job, file),
                "error": None,
                "ledger": ledger,
            }
        ),
        done,
        file,
    )
    policy = effective_policy.effective(job.policy, file.retry_policy)
    plan, status = admission.enter(job, status, file, done, seen, policy, now)
    if plan.ask is not None:
        return replace(plan, job_file=file), status
    return replace(plan, job_file=file, configmap=build_configmap(job, file, seen.settings.ca_certificate)), status


def _stalled(job: BatchJob, status: BatchJobStatus, why: Stalled, now: datetime) -> tuple[Plan, BatchJobStatus]:
    """It waits for the registry, as long as its own policy allows."""
    policy = effective_policy.effective(job.policy)
    if not job.spec.suspend and is_true(status.conditions, ConditionType.SUSPENDED):
        ledger = (status.ledger or Ledger()).model_copy(update={"waiting_since": now})
        status = status.model_copy(update={"ledger": ledger})
    since = (status.ledger.waiting_since if status.ledger else None) or job.created_at
    due = None if job.spec.suspend else timeouts.assign_due(since, policy)
    if due is not None and now >= due:
        error = statuses.error(job, timeouts.assign_failure(policy, why.message))
        event = Event("Warning", Reason.FAILED, error.message)
        return Plan("Failed", error.message, event=event), statuses.failed(status, error, now)
    plan = Plan(why.reason, why.message, event=Event("Warning", why.reason, why.message))
    return replace(plan, requeue_after=due - now if due else None), statuses.stalled(job, status, why, now)


def _resolve(job: BatchJob, seen: JobSnapshot, version: str | None, *, pinned: bool) -> JobFile | Stalled:
    """Raises InvalidRequest."""
    found = pipeline_resolution.resolve(seen.pipelines, job.spec.pipeline_key, version, pinned=pinned)
    if isinstance(found, Stalled):
        return found
    try:
        pipeline = _pipeline(found.spec)
    except ValueError as problem:
        message = f"pipeline '{found.key}' (object {found.name}) cannot be read: {problem}"
        return Stalled(Reason.INVALID_PIPELINE, message, "The pipeline's owner must publish a valid version.")
    if pipeline.type != job.spec.pipeline_type:
        raise InvalidRequest(
            f"pipeline_type: '{job.spec.pipeline_type}' was asked for, but pipeline '{pipeline.key}' "
            f"{pipeline.version} is of type '{pipeline.type}'",
            f"Set spec.pipeline_type to {pipeline.type} in a new job.",
        )
    parameters = parameters_policy.resolve(job.spec, pipeline)
    if isinstance(parameters, Stalled):
        return parameters
    files = inputs_policy.number(job.spec, pipeline)
    return job_document.job_file(job, found.spec, parameters, files.numbered, files.references)


def _pipeline(spec: Mapping[str, Any]) -> PipelineSpec:
    """Raises ValueError."""
    try:
        written = orjson.dumps(spec)
    except TypeError:  # a number beyond 64 bits
        return PipelineSpec.model_validate(spec)
    return _read_pipeline(written)


@lru_cache(maxsize=64)
def _read_pipeline(written: bytes) -> PipelineSpec:
    """Every job of a pipeline brings the same."""
    return PipelineSpec.model_validate(orjson.loads(written))


def _rebuilt(job: BatchJob, status: BatchJobStatus, seen: JobSnapshot) -> JobFile | None:
    """The job file from the registry, if that still gives the same one; the ConfigMap was lost or replaced."""
    try:
        file = _resolve(job, seen, status.pipeline_version, pinned=True)
    except InvalidRequest:
        return None
    if isinstance(file, Stalled) or status.ledger is None or file.sha256 != status.ledger.spec_hash:
        return None
    return file


def _tampered() -> Failure:
    return Failure(
        "TAMPERED",
        "the job's ConfigMap is gone or does not hold what was resolved at admission, and the registry no longer gives "
        "the same",
        "Apply the job again under another name. Only the operator should write or delete its ConfigMap; a job that is "
        "past its time to live has none.",
    )


def _write(job: BatchJob, status: BatchJobStatus, seen: JobSnapshot, now: datetime, plan: Plan) -> Plan:
    """`plan` with the status write that is due; an Event goes out only with a write."""
    write, wait = status_write.due(job, status, now, seen.settings.progress_interval)
    waits = [w for w in (wait, plan.requeue_after) if w is not None]
    return replace(
        plan,
        status=write,
        event=plan.event if write is not None else None,
        requeue_after=min(waits, default=None),
    )
