"""The head of the simulator's load on the real API server, in quicker time, beside the pure simulation.

The simulator is given what the real run saw: when each job came, and for how long it held its GPUs. What is left to
differ is what the operator decides, and when it comes to it.
"""

import asyncio
import time
from dataclasses import dataclass, field, replace
from datetime import timedelta
from statistics import fmean
from typing import Any

from batch_operator.api.v1alpha1.batch_queue import QueueRecord, decode_queue
from batch_operator.scheduling.decisions import Decisions
from batch_operator.scheduling.observed import Cluster
from batch_operator.scheduling.schedule import admissions
from tests.faults.bench import Bench
from tests.queue_load.ground import ENDED, GPU, Ground
from tests.queue_load.moves import order_agreement
from tests.simulate.load import GPUS, WEIGHTS, Arrival, arrivals
from tests.simulate.world import World, moment

QUICKER = 120.0
"""A job of the median 20 minutes runs for 10 seconds."""
LOAD = 1.2
SEED = 0
NODES = 8
DISPLACE_AFTER = 120 / QUICKER
RESERVE_AFTER = 3600 / QUICKER
GONE_AFTER = 0.5
"""Seconds in which kwok's pods are gone once they are deleted."""
LEAST_AGREEMENT = 0.95
MOST_DIFFERENCE = 0.05
_CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


@dataclass(frozen=True)
class Run:
    """Of the real cluster, or of the simulator. `order`: jobs by their first admission."""

    order: list[str]
    used: float
    """Part of the GPUs that jobs held, over the whole time."""
    waited: float
    """Seconds from a job's coming to its first admission, on average over those admitted."""
    preemptions: int


@dataclass(frozen=True)
class Figures:
    seconds: float
    jobs: int
    real: Run
    simulated: Run
    ideal: Run
    """The simulator with the load's own times: a pod that has ended is gone at once."""

    @property
    def agreement(self) -> float:
        return order_agreement(self.real.order, self.simulated.order)

    def bars(self) -> list[tuple[bool, str]]:
        difference = abs(self.real.used - self.simulated.used)
        return [
            (
                self.agreement >= LEAST_AGREEMENT,
                f"the load's head on the real API server: {self.agreement:.3f} of all pairs of jobs admitted in the "
                f"simulator's order (≥ {LEAST_AGREEMENT})",
            ),
            (
                difference <= MOST_DIFFERENCE,
                f"… GPU utilisation {self.real.used:.3f}, the simulator's {self.simulated.used:.3f} "
                f"(± {MOST_DIFFERENCE})",
            ),
        ]

    def table(self) -> str:
        runs = (self.real, self.simulated, self.ideal)
        rows = [
            ("jobs admitted", [f"{len(run.order)}" for run in runs]),
            ("GPU utilisation", [f"{run.used:.3f}" for run in runs]),
            ("wait until the first admission, mean", [f"{run.waited:.1f} s" for run in runs]),
            ("preemptions", [f"{run.preemptions}" for run in runs]),
        ]
        head = f"the first {self.jobs} jobs, {QUICKER:.0f} times quicker, in {self.seconds:.0f} s"
        lines = [f"| {head} | real | simulated | … with the load's own times |", "| --- | --- | --- | --- |"]
        return "\n".join(lines + [f"| {name} | " + " | ".join(values) + " |" for name, values in rows])


async def run(bench: Bench, count: int) -> Figures:
    week = [
        replace(a, at=a.at / QUICKER, seconds=a.seconds / QUICKER, uid=f"job-{a.uid}")
        for a in arrivals(SEED, LOAD)[:count]
    ]
    seconds = {arrival.uid: arrival.seconds for arrival in week}
    settings = {"displace_after_seconds": DISPLACE_AFTER}
    ground = Ground(bench, NODES, tuple(WEIGHTS), settings, seconds_of=seconds.__getitem__)
    classes = {priority: f"{ground.name}-{priority}" for priority in {a.priority for a in week} if priority}
    spec = {
        "quota": {GPU: GPUS},
        "preemption": "LowerPriority",
        "reserve_after_seconds": int(RESERVE_AFTER),
        "namespace_weights": {ground.namespace(name): weight for name, weight in WEIGHTS.items()},
    }
    try:
        for value, name in classes.items():
            manifest = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
            await bench.upstream.ask("POST", _CLASSES, {**manifest, "value": value})
        await ground.open(spec)
        began = await _arrive(ground, week, classes)
        took = time.monotonic() - began
        await ground.until("the last ones are seen", lambda: len(ground.fates) == len(week), 30)
        real = _seen(ground, week, began, took)
    finally:
        await ground.close()
        for name in classes.values():
            await bench.upstream.ask("DELETE", f"{_CLASSES}/{name}", may_fail=(404,))
    queue = _record(ground, spec)
    renamed = [replace(arrival, namespace=ground.namespace(arrival.namespace)) for arrival in week]
    as_seen = [_as_seen(ground, arrival, began, _overhead(ground, week)) for arrival in renamed]
    return Figures(took, count, real, _simulated(queue, as_seen, took), _simulated(queue, renamed, took))


async def _arrive(ground: Ground, week: list[Arrival], classes: dict[int, str]) -> float:
    """Returns when the last one has come: (monotonic) when it began."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for arrival in week:
            await asyncio.sleep(max(0.0, began + arrival.at - time.monotonic()))
            await ground.until("the operator lives", lambda: True, 1)
            group.create_task(
                ground.create(arrival.uid, arrival.gpus, arrival.namespace, classes.get(arrival.priority, ""))
            )
    return began


def _seen(ground: Ground, week: list[Arrival], began: float, took: float) -> Run:
    held = waited = 0.0
    firsts: dict[str, float] = {}
    preemptions = 0
    for arrival in week:
        fate = ground.fates[arrival.uid]
        held += arrival.gpus * sum(max(0.0, min(until, began + took) - since) for since, until in fate.holds)
        if fate.holds and fate.holds[0][0] < began + took:
            firsts[arrival.uid] = fate.holds[0][0]
            waited += fate.holds[0][0] - fate.created
        preemptions += len(fate.holds) - (fate.is_held or fate.state in ENDED)
    order = sorted(firsts, key=firsts.__getitem__)
    return Run(order, held / (GPUS * took), waited / max(len(order), 1), preemptions)


def _overhead(ground: Ground, week: list[Arrival]) -> float:
    """By how much longer than its pods a job holds its GPUs, on average: pods are made, placed, started, seen."""
    ended = [(arrival, ground.fates[arrival.uid]) for arrival in week]
    spans = [fate.holds[-1][1] - fate.holds[-1][0] - a.seconds for a, fate in ended if fate.state == "COMPLETED"]
    return fmean(spans) if spans else 0.0


def _as_seen(ground: Ground, arrival: Arrival, began: float, overhead: float) -> Arrival:
    fate = ground.fates[arrival.uid]
    seconds = arrival.seconds + overhead
    if fate.state == "COMPLETED":
        since, until = fate.holds[-1]
        seconds = until - since
    return replace(arrival, at=fate.created - began, seconds=seconds)


def _record(ground: Ground, spec: dict[str, Any]) -> QueueRecord:
    return decode_queue({"metadata": {"name": ground.name, "uid": "0", "resourceVersion": "1"}, "spec": spec})


@dataclass
class _World(World):
    """Nothing is kept of a job that gives way: kwok's pods do not say how far they have come."""

    used: float = 0.0
    """GPU-seconds until `measured`."""
    measured: float = 0.0
    firsts: dict[str, float] = field(default_factory=dict)
    """First admissions, in their order."""

    def measure(self, since: float, until: float, world: World) -> None:
        self.used += (until - since) * sum(self.runs[uid].arrival.gpus for uid in self.holders)
        self.measured = until

    def _cycle(self, now: float) -> None:
        super()._cycle(now)
        for uid in self.holders:
            self.firsts.setdefault(uid, now)

    def _gives_way(self, uid: str, preemptor: str, now: float) -> None:
        self.runs[uid].preemptions += 1
        self.holders[uid] = replace(self.holders[uid], ending_since=moment(now), preempted_for=preemptor)
        self._push(now + GONE_AFTER, "is gone", uid)


def _simulated(queue: QueueRecord, week: list[Arrival], took: float) -> Run:
    """The same scheduler on the virtual clock, cut off at the same moment."""
    world = _World(queue, week, decide=_decide)
    world.watch = world.measure
    world.run(until=took)
    world.measure(world.measured, took, world)
    waits = [first - world.runs[uid].arrival.at for uid, first in world.firsts.items()]
    preemptions = sum(run.preemptions for run in world.runs.values())
    return Run(list(world.firsts), world.used / (GPUS * took), fmean(waits), preemptions)


def _decide(cluster: Cluster) -> Decisions:
    return admissions(replace(cluster, displace_after=timedelta(seconds=DISPLACE_AFTER)))
