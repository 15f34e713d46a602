"""One pass over one key: of a job gather, reconcile, apply, and when to come back; of a Queue its status; or a chore of
the scheduler. The workqueue's workers call it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.cluster.apply import apply
from batch_operator.cluster.client import Client
from batch_operator.cluster.errors import ApiError, Conflict, NotFound
from batch_operator.cluster.gather import job_snapshot, turn, with_job_file
from batch_operator.cluster.lead import NotLeading
from batch_operator.cluster.metrics import Metrics
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.queue_status import write_queue_status
from batch_operator.config import Settings
from batch_operator.handlers.keys import Chore, JobKey, Key, QueueKey
from batch_operator.handlers.scheduler import Scheduler
from batch_operator.reconcile.batchjob import reconcile
from batch_operator.snapshot import RuleSettings

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Reconciler:
    """Holds what a pass needs; no state of its own."""

    client: Client
    seen: Observations
    settings: Settings
    rules: RuleSettings
    metrics: Metrics
    scheduler: Scheduler
    now: Callable[[], datetime]

    async def __call__(self, key: Key) -> float | None:
        """-> seconds until the key is due again, or None. Raises ApiError; the queue then backs off."""
        match key:
            case Chore.SCHEDULE:
                self.scheduler.run()
                return None
            case Chore.NOTE:
                self.scheduler.note()
                return None
            case Chore.TELL:
                return self.scheduler.telling.tell()
            case QueueKey():
                return await self._queue(key.name)
            case _:
                return await self._job(key)

    async def _queue(self, name: str) -> float | None:
        """Writes a Queue's status, where it says something else than what is so."""
        if self.scheduler.telling.queue_status(name) is None:
            return None
        if (wait := self.scheduler.telling.wait_to_write(name)) > 0:
            return wait
        changed = self.scheduler.telling.queue_status(name)
        if changed is not None:
            await write_queue_status(self.client, self.seen, *changed)
        return None

    async def _job(self, key: JobKey) -> float | None:
        namespace, name = key
        job = self.seen.jobs.get_by_name(namespace, name)
        if job is None:
            return None
        started = time.perf_counter()
        result = "error"
        try:
            again = await self._pass(job)
            result = "ok"
        except Conflict:
            result = "conflict"
            raise
        finally:
            self.scheduler.telling.tried(job.uid)
            self.metrics.reconciled(result, time.perf_counter() - started)
        return again

    async def _pass(self, job: BatchJob) -> float | None:
        now = self.now()
        settings = self.settings
        snapshot = await job_snapshot(
            self.client,
            self.seen,
            job,
            self.rules,
            now,
            org_labels=settings.org_labels,
            namespace_labels=settings.namespace_labels,
        )
        plan = reconcile(job, snapshot, now)
        if plan.read_job_file:
            plan = reconcile(job, await with_job_file(self.client, self.seen, job, snapshot, now), now)
        if plan.ask is not None:
            if not self.scheduler.ask(job, plan.ask):
                return None
            plan = reconcile(job, replace(snapshot, turn=turn(self.seen, job), resolved=plan.job_file), now)
            if plan.ask is not None:
                return None
        if plan.job_file is not None and plan.configmap is None:
            self.seen.keep_job_file(job.uid, plan.job_file, unread=True)
        if plan.status is not None or plan.pods or plan.deletes or plan.delete_job:
            log.info(
                plan.message or plan.reason,
                namespace=job.namespace,
                name=job.name,
                reason=plan.reason,
                status=plan.status.status if plan.status else job.status.status,
                pods_created=len(plan.pods),
                pods_deleted=len(plan.deletes),
            )
        again = await apply(self.client, self.seen, job, plan, now, self.settings.pod_name)
        self.scheduler.passed(job)
        if again:
            return 0.0
        return plan.requeue_after.total_seconds() if plan.requeue_after is not None else None

    def failed(self, key: Key, error: Exception) -> float:
        """What went wrong with a pass, in one line -> the least delay before the next one."""
        namespace, name = _names(key)
        expected = isinstance(error, ApiError)
        if isinstance(error, NotLeading):  # the process ends, and says so once
            return 0.0
        if isinstance(error, Conflict | NotFound):  # somebody was faster: the next pass has the newer object
            log.debug("starting over", namespace=namespace, name=name, reason="Stale", error=str(error))
            return 0.0
        log.error(
            "reconcile failed",
            namespace=namespace,
            name=name,
            reason=type(error).__name__,
            error=str(error),
            exc_info=None if expected else error,
        )
        return getattr(error, "retry_after", None) or 0.0


def _names(key: Key) -> tuple[str, str]:
    match key:
        case QueueKey():
            return "", key.name
        case Chore():
            return "", key.value
        case _:
            return key
