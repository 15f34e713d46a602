"""`Scene`: a Scheduler over stores that a test fills, its time simulated."""

from typing import Any

from batch_operator.api.v1alpha1.batch_queue import Preemption
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.cluster.metrics import Metrics
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.handlers.keys import Key
from batch_operator.handlers.scheduler import Scheduler
from batch_operator.reconcile import queue_entry
from batch_operator.scheduling.decisions import Decisions
from tests.builders import make_batchjob, make_queue, make_queued_job, make_spec, seconds
from tests.fakes.clock import SimulatedClock

METRICS = Metrics("test")
PREEMPTS: dict[str, Any] = {"preemption": Preemption.LOWER_PRIORITY}


async def taken_off(queue: WorkQueue[Key]) -> list[Key]:
    """The keys that are due; they are no more."""
    keys = []
    while len(queue):
        keys.append(await queue.get())
        queue.done(keys[-1])
    return keys


class Scene:
    """A scheduler over the Queue research of four GPUs, on a clock of its own; nobody runs the passes it asks for."""

    def __init__(self, gpus: int = 4, **queue: Any) -> None:
        self.clock = SimulatedClock()
        self.clock.advance(60)
        self.seen = Observations()
        self.queue: WorkQueue[Key] = WorkQueue(timers=self.clock)
        self.scheduler = Scheduler(
            self.seen, self.queue, self.clock.now, METRICS, self.clock.time, self.clock.time, displace_after=seconds(0)
        )
        self.seen.queues.apply("ADDED", make_queue(gpus, **queue))
        self._version = 100

    def heard(self, job: BatchJob) -> BatchJob:
        """A watch tells of the job, in a version of its own."""
        self._version += 1
        job = job.model_copy(update={"resource_version": str(self._version)})
        self.seen.jobs.apply("MODIFIED", job)
        return job

    def waits(self, name: str, gpus: int = 1, **changes: Any) -> BatchJob:
        return self.heard(make_queued_job(name, gpus, **changes))

    def holds(self, name: str, gpus: int = 1, **changes: Any) -> BatchJob:
        return self.heard(make_queued_job(name, gpus, "RUNNING", **changes))

    def new(self, name: str, gpus: int = 1) -> BatchJob:
        """A job without a status, whose first pass has asked."""
        job = self.heard(make_batchjob(make_spec(queue="research"), name=name, uid=name))
        self.asks(job, gpus)
        return job

    def asks(self, job: BatchJob, gpus: int = 1) -> bool:
        return self.scheduler.ask(job, queue_entry.waiting(make_queued_job(job.name, gpus)))

    def ends(self, name: str) -> None:
        self.heard(make_queued_job(name, 1, "RUNNING", status={"status": "COMPLETED"}))

    def cycle(self) -> Decisions:
        self.scheduler.run()
        return self.seen.decisions

    @property
    def granted(self) -> set[str]:
        return set(self.seen.granted)

    @property
    def displaced(self) -> set[str]:
        return set(self.seen.displaced)

    async def to_do(self) -> list[Key]:
        return await taken_off(self.queue)

    async def jobs_to_do(self) -> list[str]:
        return [key[1] for key in await self.to_do() if isinstance(key, tuple)]
