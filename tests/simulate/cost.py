"""``python -m tests.simulate.cost``: what one cycle of the scheduler costs with 10,000 waiting jobs, in milliseconds.

Whole cycles, with reasons, places and victims. The records exist already: the shell keeps them from cycle to cycle.
"""

import argparse
import gc
import random
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import median

from batch_operator.api.v1alpha1.batch_queue import Preemption, QueueRecord, Strategy
from batch_operator.scheduling.observed import Cluster, Holder, Node, PodSet, WaitingJob
from batch_operator.scheduling.schedule import schedule
from batch_operator.scheduling.waiting import by_kind
from tests.simulate.world import GPU

NOW = datetime(2026, 4, 14, 10, tzinfo=UTC)
MOST_MS = 50.0
TEAMS = [f"team-{letter}" for letter in "abcde"]
SIZES = [1, 2, 4, 8, 16]
QUEUE = QueueRecord(
    "research",
    quota={GPU: 512_000, "cpu": 4_096_000},
    weights=dict(zip(TEAMS, (1, 1, 2, 2, 3), strict=True)),
    preemption=Preemption.LOWER_PRIORITY,
    min_runtime=timedelta(minutes=10),
)
Job = Callable[[int, random.Random], WaitingJob]


def pods(gpus: int, cpu: int = 0) -> tuple[PodSet, ...]:
    return (PodSet(max(gpus // 8, 1), ((GPU, min(gpus, 8) * 1000), ("cpu", cpu or gpus * 8000))),)


def alike(number: int, draw: random.Random) -> WaitingJob:
    """Five sizes of one team's."""
    return WaitingJob(f"{number:05}", TEAMS[0], f"job-{number}", "research", pods(draw.choice(SIZES)), _since(number))


def mixed(number: int, draw: random.Random) -> WaitingJob:
    """5 namespaces x 3 priorities x 5 sizes, some preempted before, some in back-off."""
    return WaitingJob(
        f"{number:05}",
        draw.choice(TEAMS),
        f"job-{number}",
        "research",
        pods(draw.choice(SIZES)),
        _since(number),
        priority=draw.choice([0, 100, 1000]),
        preemptions=draw.choice([0] * 6 + [1, 2, 3, 4]),
        not_before=NOW + timedelta(seconds=draw.randint(-600, 600)) if draw.random() < 0.05 else None,
    )


def urgent(number: int, draw: random.Random) -> WaitingJob:
    """All may displace what runs, and came a moment ago."""
    return replace(mixed(number, draw), priority=2000, queued_at=NOW - timedelta(seconds=60 - number / 1000))


def various(number: int, draw: random.Random) -> WaitingJob:
    """As `mixed`, but with 40 different demands."""
    return replace(mixed(number, draw), pods=pods(draw.choice(SIZES), cpu=draw.randint(1, 8) * 1000))


def distinct(number: int, draw: random.Random) -> WaitingJob:
    """No two ask for the same."""
    return replace(mixed(number, draw), pods=pods(draw.choice(SIZES), cpu=number + 1))


def _since(number: int) -> datetime:
    return NOW - timedelta(hours=12) + timedelta(seconds=4 * number)


def cluster(job: Job, queue: QueueRecord, jobs: int, holders: int) -> Cluster:
    draw = random.Random(job.__name__)
    held = tuple(
        Holder(
            f"h{number}",
            draw.choice(TEAMS),
            f"held-{number}",
            "research",
            pods(1),
            NOW - timedelta(seconds=draw.randint(0, 9000)),
            priority=draw.choice([0, 0, 100, 1000]),
            preemptions=draw.choice([0] * 8 + [2]),
            ending_since=NOW if draw.random() < 0.02 else None,
        )
        for number in range(holders)
    )
    return Cluster(NOW, {"research": queue}, by_kind(job(number, draw) for number in range(jobs)), held)


def on_nodes(seen: Cluster, count: int) -> Cluster:
    """The same on so many nodes of 8 GPUs, one filled after the other where there is just enough room for what runs."""
    nodes = tuple(Node(f"node-{n:03}", {GPU: 8000, "cpu": 64_000, "pods": 110_000}) for n in range(count))
    holders = tuple(
        replace(holder, placed=((nodes[number * count // len(seen.holders)].name, holder.pods[0]),))
        for number, holder in enumerate(seen.holders)
    )
    queues = {name: replace(queue, require_matching_node=True) for name, queue in seen.queues.items()}
    return replace(seen, queues=queues, nodes=nodes, holders=holders)


CASES: dict[str, tuple[Job, QueueRecord, bool]] = {
    "alike": (alike, QUEUE, True),
    "mixed": (mixed, QUEUE, True),
    "mixed, StrictFIFO": (mixed, replace(QUEUE, strategy=Strategy.STRICT_FIFO), True),
    "mixed, the queue empty": (mixed, QUEUE, True),
    "all urgent": (urgent, QUEUE, True),
    "40 demands": (various, QUEUE, True),
    "mixed, on 64 nodes": (mixed, QUEUE, True),
    "mixed, on 64 nodes, the queue empty": (mixed, QUEUE, True),
    "mixed, on 500 nodes": (mixed, QUEUE, True),
    "all urgent, on 64 nodes": (urgent, QUEUE, True),
    "all urgent, on 500 nodes": (urgent, QUEUE, True),
    "10,000 demands, on 64 nodes": (distinct, QUEUE, False),
    "10,000 demands": (distinct, QUEUE, False),
}
"""Whether the bar counts: 10,000 jobs of which no two ask for the same are only watched."""


def measure(seen: Cluster, cycles: int) -> tuple[float, float]:
    """Median and worst, in milliseconds of CPU time: one cycle is one thread's work without a wait."""
    found = []
    for _ in range(cycles):
        gc.collect()
        began = time.process_time()
        schedule(seen)
        found.append((time.process_time() - began) * 1000)
    return median(found), max(found)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulate.cost", description=__doc__)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=10_000)
    chosen = parser.parse_args()
    held = True
    for name, (job, queue, counts) in CASES.items():
        seen = cluster(job, queue, chosen.jobs, 0 if name.endswith("empty") else 500)
        if found := re.search(r"on (\d+) nodes", name):
            seen = on_nodes(seen, int(found[1]))
        middle, worst = measure(seen, chosen.cycles)
        passed = middle <= MOST_MS
        held = held and (passed or not counts)
        verdict = ("PASS" if passed else "FALL") if counts else "    "
        print(
            f"{verdict} {name}: {chosen.jobs} waiting, {len(seen.holders)} holders: "
            f"median {middle:.1f} ms, worst of {chosen.cycles} {worst:.1f} ms",
            flush=True,
        )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
