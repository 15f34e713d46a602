"""BatchJob: (object, snapshot, now) -> Plan. Pure and total.

It advances only on what was observed, never on what was requested: a lost write repeats itself. Called by
handlers.reconciler for every key that the workqueue hands out.
"""

from dataclasses import replace
from datetime import datetime

from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobStatus, ComponentLedger, JobStatus, Ledger
from batch_operator.api.v1alpha1.conditions import Reason
from batch_operator.api.v1alpha1.pipeline import PipelineSpec
from batch_operator.policies import inputs as inputs_policy
from batch_operator.policies import parameters as parameters_policy
from batch_operator.policies import pipeline_resolution, progress, success
from batch_operator.policies.verdict import Failure, InvalidRequest, Stalled
from batch_operator.reconcile import running
from batch_operator.reconcile import status as statuses
from batch_operator.reconcile.plan import Event, Plan, PodDelete
from batch_operator.resources import job_document
from batch_operator.snapshot import JobSnapshot


def reconcile(job: BatchJob, seen: JobSnapshot, now: datetime) -> Plan:
    """`now`: whole seconds in UTC, as status holds them."""
    if job.deleting:
        return Plan("Deleting", "the object is being deleted; its children go with it")
    if job.unreadable_status:
        return Plan("UnreadableStatus", f"left alone, its status is of another version: {job.unreadable_status}")
    if job.status.has_ended:
        # a create whose answer was lost, or an operator that was paused, may bring a pod to a job that has ended
        grace = success.effective(job.policy, None).grace_seconds
        late = tuple(PodDelete(p.name, p.uid, grace) for p in seen.pods if p.is_live and not p.deleting)
        return _write(job, job.status, seen, now, Plan("Finished", job.status.message or "", deletes=late))
    status = statuses.first_sight(job, seen.org_id)
    if status.ledger is None or status.ledger.spec_hash is None:
        return _admit(job, status, seen, now)
    file, is_stored = seen.job_file, True
    if file is None or file.sha256 != status.ledger.spec_hash:
        file, is_stored = _rebuilt(job, status, seen), False
    if file is None:
        plan, status = running.stop(job, status, _tampered(), seen, now, running.Ending())
        return _write(job, status, seen, now, plan)
    plan, status = running.run(job, status, file, seen, now)
    if not is_stored and running.held_back_until(seen, now) is None:
        plan = replace(plan, configmap=running.configmap(job, file, seen), job_file=file)
    return _write(job, status, seen, now, plan)


def _admit(job: BatchJob, status: BatchJobStatus, seen: JobSnapshot, now: datetime) -> Plan:
    """First sight: resolve, pin, and admit. What is pinned is written before anything is built on it."""
    try:
        if job.problem:
            raise InvalidRequest(job.problem, "Apply a corrected job under another name.")
        file = _resolve(job, seen, job.spec.pipeline_version, pinned=False)
    except InvalidRequest as refused:
        why = statuses.error(job, Failure("INVALID_REQUEST", refused.message, refused.suggestion))
        plan = Plan("InvalidRequest", refused.message, event=Event("Warning", Reason.FAILED, refused.message))
        return _write(job, statuses.failed(status, why, now), seen, now, plan)
    if isinstance(file, Stalled):
        event = Event("Warning", file.reason, file.message)
        return _write(
            job,
            statuses.stalled(job, status, file, now),
            seen,
            now,
            Plan(file.reason, file.message, event=event),
        )
    components = {name: ComponentLedger(parallelism=file.parallelism(name)) for name in file.components}
    count = sum(component.parallelism for component in components.values())
    message = running.starting_message(count)
    status = statuses.moved(
        status,
        JobStatus.ADMITTED,
        statuses.ADMITTED,
        now,
        pipeline_type=file.document["pipeline_type"],
        pipeline_version=file.document["pipeline_version"],
        parameters=file.document["parameters"],
        outputs_url=job_document.outputs_url(job, file),
        error=None,
        message=message,
        ledger=Ledger(spec_hash=file.sha256, components=components),
    )
    nothing = progress.fold(file, status.ledger or Ledger(), (), {})
    status = statuses.with_progress(status, nothing, file)
    plan = Plan(
        "Admitted",
        message,
        job_file=file,
        configmap=running.configmap(job, file, seen),
        pods=running.missing_pods(job, file, status, {}, seen),
    )
    return _write(job, status, seen, now, plan)


def _resolve(job: BatchJob, seen: JobSnapshot, version: str | None, *, pinned: bool) -> JobFile | Stalled:
    """Raises InvalidRequest."""
    found = pipeline_resolution.resolve(seen.pipelines, job.spec.pipeline_key, version, pinned=pinned)
    if isinstance(found, Stalled):
        return found
    try:
        pipeline = PipelineSpec.model_validate(found.spec)
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
        "the job's ConfigMap does not hold what was resolved at admission, and the registry no longer gives the same",
        "Apply the job again under another name; nobody but the operator may write its ConfigMap.",
    )


def _write(job: BatchJob, status: BatchJobStatus, seen: JobSnapshot, now: datetime, plan: Plan) -> Plan:
    """`plan` with the status write that is due; an Event goes out only with a write."""
    write, wait = statuses.due(job, status, now, seen.settings.progress_interval)
    waits = [w for w in (wait, plan.requeue_after) if w is not None]
    return replace(
        plan,
        status=write,
        event=plan.event if write is not None else None,
        requeue_after=min(waits, default=None),
    )
