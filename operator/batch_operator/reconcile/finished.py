"""A job that has ended: late pods go, its time to live runs, and a request to retry may open it again.

Called by reconcile.batchjob.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobStatus, Ledger
from batch_operator.api.v1alpha1.conditions import Reason
from batch_operator.api.v1alpha1.schema_types import Policy
from batch_operator.policies import requests
from batch_operator.policies.effective_policy import EffectivePolicy, effective, seconds
from batch_operator.reconcile import status as statuses
from batch_operator.reconcile.plan import Event, Plan, PodDelete
from batch_operator.snapshot import JobSnapshot

CLOCKS_DIFFER = timedelta(minutes=1)
"""By so much the clocks of two machines may."""


def look(job: BatchJob, seen: JobSnapshot, now: datetime) -> tuple[Plan, BatchJobStatus]:
    """-> (plan without a status, status as it should be)."""
    status = job.status
    refused = requests.refusal(job)
    if requests.retry(job) and not refused:
        status = statuses.retried(job, status, now)
        # a request to cancel that came before this one is not for the job that begins anew
        status = status.model_copy(update={"ledger": requests.cancel_answered(status.ledger, job.cancel_requested)})
        event = Event("Normal", Reason.RETRY_REQUESTED, status.message or "")
        return Plan("RetryRequested", status.message or "", event=event), status
    policy = _policy(job)
    # a create whose answer was lost, or an operator that was paused, may bring a pod to a job that has ended
    late = tuple(PodDelete(p.name, p.uid, policy.grace_seconds) for p in seen.pods if p.is_live and not p.deleting)
    plan = Plan("Finished", status.message or "", deletes=late)
    if refused:
        ledger = requests.cancel_answered(status.ledger, job.cancel_requested)
        ledger = requests.retry_answered(ledger, job.retry_requested)
        status = status.model_copy(update={"ledger": ledger})
        plan = replace(plan, reason="RequestRefused", event=Event("Warning", Reason.REQUEST_REFUSED, refused))
        return plan, status
    return _expire(job, status, policy, plan, seen, now)


def _policy(job: BatchJob) -> EffectivePolicy:
    """The job file is let go when a job ends; what counts after that of the pipeline's policy is in the ledger."""
    ledger = job.status.ledger
    inherited = Policy(
        ttl_seconds_after_finished=ledger.pipeline_ttl_seconds if ledger else None,
        ttl_deletes_job=ledger.pipeline_ttl_deletes_job if ledger else None,
    )
    return effective(job.policy, inherited)


def _expire(
    job: BatchJob, status: BatchJobStatus, policy: EffectivePolicy, plan: Plan, seen: JobSnapshot, now: datetime
) -> tuple[Plan, BatchJobStatus]:
    ttl = seconds(policy.ttl_seconds_after_finished)
    ended = status.completed_at or status.failed_at or status.cancelled_at
    ledger = status.ledger or Ledger()
    if ttl is None or ended is None or ledger.children_deleted_at:
        return plan, status
    if ledger.ttl_since is not None:
        ended = ledger.ttl_since
    elif ended > now + CLOCKS_DIFFER:  # an operator with a clock ahead of ours wrote it
        ended = now
        ledger = ledger.model_copy(update={"ttl_since": now})
        status = status.model_copy(update={"ledger": ledger})
    if now < ended + ttl:
        return replace(plan, requeue_after=ended + ttl - now), status
    if policy.ttl_deletes_job and not job.tracked_by:
        return replace(plan, reason="Expired", message="its time to live is over", delete_job=True), status
    # one that was refused at first sight may have a ConfigMap, of a pass whose status came too late
    pods = tuple(PodDelete(p.name, p.uid, policy.grace_seconds) for p in seen.pods if not (p.deleted or p.deleting))
    event = None
    if policy.ttl_deletes_job:
        words = f"kept after its time to live: {job.tracked_by} tracks it and would make it again"
        event = Event("Normal", Reason.KEPT, words)
    ledger = ledger.model_copy(update={"children_deleted_at": now})
    plan = replace(plan, reason="Expired", deletes=(), expired=pods, expired_configmap=True, event=event)
    return plan, status.model_copy(update={"ledger": ledger})
