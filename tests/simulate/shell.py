"""``python -m tests.simulate.shell``: what the whole chore costs with 10,000 waiting jobs, in milliseconds of CPU time.

As tests.simulate.cost, but with all that is around `schedule`: the scheduler's own picture, 10,000 stored jobs, and
Python's garbage collector, which looks at all of them now and then. Each cycle follows a change: a job has ended.
"""

import argparse
import gc
import json
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import mean, median
from typing import Any, TypeVar

import structlog

from batch_operator.api.v1alpha1.batch_queue import Preemption
from batch_operator.api.v1alpha1.batchjob import BatchJobStatus, JobStatus
from batch_operator.api.v1alpha1.decoding import decode_job
from batch_operator.cluster.metrics import Metrics
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.handlers.keys import Key
from batch_operator.handlers.scheduler import Scheduler
from batch_operator.handlers.telling import READ_AGAIN_SECONDS, READ_AT_ONCE
from batch_operator.main import GC_THRESHOLDS
from batch_operator.reconcile import status as statuses
from batch_operator.reconcile.status_write import as_written
from batch_operator.scheduling import turns
from batch_operator.snapshot import NodeRecord
from tests.builders import GPU, make_queue, make_queued_job, make_raw_batchjob, make_spec
from tests.fakes.clock import SimulatedClock
from tests.simulate.cost import SIZES, TEAMS

MOST_MS = {"alike": 20.0, "mixed": 30.0}
"""On average, so that 50 ms hold where others use the core too."""
RUNNING = 500
T = TypeVar("T")


def alike(draw: random.Random) -> dict[str, Any]:
    """As in make queue-load: one namespace, one size."""
    return {"gpus": 1, "namespace": TEAMS[0]}


def mixed(draw: random.Random) -> dict[str, Any]:
    """5 namespaces x 3 priorities x 5 sizes, some preempted before, some in back-off."""
    later = f"2026-04-14T{draw.randint(9, 12):02}:30:00Z"
    preempted = draw.choice([0] * 6 + [1, 2, 3, 4])
    return {
        "gpus": draw.choice(SIZES),
        "namespace": draw.choice(TEAMS),
        "admission": {"priority": draw.choice([0, 100, 1000])},
        "ledger": {"next_admission": later} if draw.random() < 0.05 else {},
        "status": {"preemption_count": preempted} if preempted else {},
    }


QUEUES: dict[str, dict[str, Any]] = {
    "alike": {},
    "mixed": {
        "weights": dict(zip(TEAMS, (1, 1, 2, 2, 3), strict=True)),
        "preemption": Preemption.LOWER_PRIORITY,
        "min_runtime": timedelta(minutes=10),
    },
}
CASES: dict[str, Callable[[random.Random], dict[str, Any]]] = {"alike": alike, "mixed": mixed}


@dataclass
class Times:
    """Milliseconds of CPU time, and what of them the garbage collector took."""

    taken: list[float] = field(default_factory=list)
    collected: list[float] = field(default_factory=list)

    def take(self, work: Callable[[], T], collector: "Collector") -> T:
        before, began = collector.ms, time.process_time()
        result = work()
        self.taken.append((time.process_time() - began) * 1000)
        self.collected.append(collector.ms - before)
        return result

    def words(self) -> str:
        ordered = sorted(self.taken)
        return (
            f"mean {mean(ordered):.1f} ms, median {median(ordered):.1f}, 99 % {ordered[int(0.99 * len(ordered))]:.1f}, "
            f"worst of {len(ordered)} {ordered[-1]:.1f}; of that garbage collection {mean(self.collected):.1f}"
        )


class Collector:
    """Listens to the garbage collector."""

    def __init__(self) -> None:
        self.ms = 0.0
        self.full: list[float] = []
        self._began = 0.0
        gc.callbacks.append(self._heard)

    def _heard(self, phase: str, info: Mapping[str, int]) -> None:
        if phase == "start":
            self._began = time.process_time()
            return
        took = (time.process_time() - self._began) * 1000
        self.ms += took
        if info["generation"] == 2:
            self.full.append(took)

    def close(self) -> None:
        gc.callbacks.remove(self._heard)


class Shell:
    """A scheduler over stored jobs, and the passes that carry out what it decides."""

    def __init__(self, case: str, jobs: int, running: int) -> None:
        draw = random.Random(case)
        self.clock = SimulatedClock()
        self.clock.advance(60)
        self.seen = Observations()
        self.queue: WorkQueue[Key] = WorkQueue(timers=self.clock)
        self.scheduler = Scheduler(
            self.seen, self.queue, self.clock.now, Metrics("cost"), self.clock.time, self.clock.time
        )
        changes = QUEUES[case]
        self.seen.queues.apply("ADDED", make_queue(running, **changes))
        self.seen.nodes.apply(
            "ADDED", NodeRecord("node", "node", "1", True, False, allocatable=(("cpu", 64_000), (GPU, 8_000)))
        )
        self._version = 100
        self.demands: dict[str, dict[str, Any]] = {}
        self.holding = deque[str]()
        for number in range(jobs + running):
            uid = f"00000000-0000-4000-8000-{number:012}"
            created = f"2026-04-13T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
            holds = number < running
            demand = {"gpus": 1, "namespace": draw.choice(TEAMS)} if holds else CASES[case](draw)
            self.demands[uid] = {**demand, "creationTimestamp": created}
            self.heard(uid, "RUNNING" if holds else "PENDING")
        self.holding.extend(list(self.demands)[:running])
        self.scheduler.run()
        for uid in self.seen.decisions.pending:
            self.told(uid)

    def heard(self, uid: str, state: str, status: BatchJobStatus | None = None) -> None:
        """A watch tells of the job: read from JSON, so that no two share what they would not share in a cluster."""
        demand = dict(self.demands[uid])
        made = make_queued_job(uid, demand.pop("gpus"), state, **demand)
        spec, written = make_spec(queue="research"), as_written(status or made.status)
        fields = {"namespace": demand["namespace"], "creationTimestamp": demand["creationTimestamp"]}
        self._version += 1
        raw = make_raw_batchjob(spec, written, name=uid, uid=uid, resourceVersion=str(self._version), **fields)
        self.seen.jobs.apply("MODIFIED", decode_job(json.loads(json.dumps(raw)), self.seen.jobs.get(uid)))

    def told(self, uid: str) -> None:
        """The pass over a job that waits: its status says what its queue says."""
        job, turn = self.seen.jobs.get(uid), turns.of(self.seen.decisions, uid, "research", tell=True)
        if job is not None and turn is not None:
            self.heard(uid, "PENDING", statuses.queued(job.status, turn, self.clock.now()))
        if job is not None:
            self.scheduler.passed(job)

    def change(self) -> None:
        """What was decided is written, what may be told is told, and the job that has run longest ends."""
        for uid in list(self.seen.granted):
            self.heard(uid, "RUNNING")
            self.holding.append(uid)
        for uid in list(self.seen.telling):
            self.told(uid)
        uid = self.holding.popleft()
        self.heard(uid, "RUNNING", BatchJobStatus(status=JobStatus.COMPLETED))
        self.clock.advance(0.25)


def measure(shell: Shell, cycles: int, collector: Collector) -> tuple[Times, Times]:
    """Of the looks for news where there are none, which take longest; and of the cycles."""
    looks, whole = Times(), Times()
    while looks.take(shell.scheduler.telling.tell, collector) is not None:
        shell.clock.advance(READ_AGAIN_SECONDS)
    for _ in range(cycles):
        shell.change()
        whole.take(shell.scheduler.run, collector)
        shell.scheduler.telling.tell()
    return looks, whole


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulate.shell", description=__doc__)
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--running", type=int, default=RUNNING)
    parser.add_argument("--case", choices=[*CASES], action="append")
    chosen = parser.parse_args()
    gc.set_threshold(*GC_THRESHOLDS)
    structlog.configure(processors=[_swallow])
    held = True
    for case in chosen.case or CASES:
        collector = Collector()
        shell = Shell(case, chosen.jobs, chosen.running)
        began = len(collector.full)
        looks, whole = measure(shell, chosen.cycles, collector)
        collector.close()
        full = collector.full[began:]
        passed = mean(whole.taken) <= MOST_MS[case]
        held = held and passed
        print(f"{'PASS' if passed else 'FALL'} {case}: {chosen.jobs} waiting, {chosen.running} running", flush=True)
        print(f"  a cycle: {whole.words()}\n  a look at {READ_AT_ONCE}: {looks.words()}", flush=True)
        print(f"  full collections: {len(full)}, the longest {max(full, default=0):.0f} ms", flush=True)
        del shell
    return 0 if held else 1


def _swallow(*_: Any) -> Any:
    raise structlog.DropEvent


if __name__ == "__main__":
    sys.exit(main())
