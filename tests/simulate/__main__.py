"""``make simulate``: the scheduler's figures beside plain FIFO's and plain BestEffort's, and whether they hold.

``python -m tests.simulate [--seeds N] [--jobs N] [--loads 0.95 1.2]``; the whole is ten seeds of 10,000 jobs.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from datetime import timedelta

from batch_operator.api.v1alpha1.batch_queue import Preemption, QueueRecord, Strategy
from tests.simulate.figures import Figures, Meter, judge, mean
from tests.simulate.load import GPUS, WEIGHTS, arrivals
from tests.simulate.world import GPU, World

QUOTA = {GPU: GPUS * 1000}
NEVER = timedelta(days=365)


@dataclass(frozen=True)
class Policy:
    name: str
    queue: QueueRecord
    fair: bool = True
    prioritised: bool = True


OURS = Policy("ours", QueueRecord("default", quota=QUOTA, weights=WEIGHTS, preemption=Preemption.LOWER_PRIORITY))
STRICT = Policy("StrictFIFO", QueueRecord("default", quota=QUOTA, weights=WEIGHTS, strategy=Strategy.STRICT_FIFO))
PLAIN = Policy("plain BestEffort", QueueRecord("default", quota=QUOTA, reserve_after=NEVER), fair=False)
FIFO = Policy(
    "plain FIFO",
    QueueRecord("default", quota=QUOTA, strategy=Strategy.STRICT_FIFO),
    fair=False,
    prioritised=False,
)
POLICIES = (OURS, STRICT, PLAIN, FIFO)


def simulate(policy: Policy, seed: int, load: float, jobs: int) -> Figures:
    week = arrivals(seed, load, jobs)
    meter = Meter(week[-1].at)
    world = World(policy.queue, week, policy.fair, policy.prioritised, watch=meter)
    began = time.process_time()
    world.run()
    spent = time.process_time() - began
    print(f"  seed {seed} load {load} {policy.name}: {world.cycles} cycles, {spent:.0f} s", file=sys.stderr, flush=True)
    return judge(world, meter)


def bars(load: float, found: dict[str, Figures]) -> list[tuple[bool, str]]:
    ours, strict, plain, fifo = (found[policy.name] for policy in POLICIES)
    result = [
        (
            ours.useful >= 0.97 * plain.useful,
            f"utilisation {ours.useful / plain.useful:.3f} of plain BestEffort's (≥ 0.97)",
        ),
        (
            ours.longest_wait <= 2 * strict.longest_wait,
            f"longest wait {ours.longest_wait / strict.longest_wait:.2f} of StrictFIFO's (≤ 2)",
        ),
        (ours.lost <= 0.02, f"GPU-hours wasted by preemption {ours.lost:.2%} (≤ 2 %)"),
    ]
    if load > 1:
        result.append(
            (ours.jain >= 0.95, f"Jain's index of weighted shares {ours.jain:.3f} (≥ 0.95; plain FIFO {fifo.jain:.3f})")
        )
    return result


def table(load: float, found: dict[str, Figures]) -> str:
    rows = [
        ("GPU utilisation", [f"{f.utilisation:.3f}" for f in found.values()]),
        ("… without repeated work", [f"{f.useful:.3f}" for f in found.values()]),
        ("Jain's index, by weight", [f"{f.jain:.3f}" for f in found.values()]),
        ("preemptions", [f"{f.preemptions:.0f}" for f in found.values()]),
        ("GPU-hours wasted", [f"{f.lost:.2%}" for f in found.values()]),
        ("… if nothing were kept", [f"{f.lost_if_nothing_kept:.2%}" for f in found.values()]),
        ("longest wait, h", [f"{f.longest_wait:.1f}" for f in found.values()]),
    ]
    rows += [
        (f"wait p50/p99, h: {name}", [f"{f.waits[name][0]:.2f}/{f.waits[name][1]:.1f}" for f in found.values()])
        for name in next(iter(found.values())).waits
    ]
    lines = [f"| load {load} | " + " | ".join(found) + " |", "| --- |" + " --- |" * len(found)]
    return "\n".join(lines + [f"| {name} | " + " | ".join(values) + " |" for name, values in rows])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--loads", type=float, nargs="+", default=[0.95, 1.2])
    chosen = parser.parse_args()
    held = True
    for load in chosen.loads:
        found = {p.name: mean(simulate(p, s, load, chosen.jobs) for s in range(chosen.seeds)) for p in POLICIES}
        print(table(load, found))
        for passed, line in bars(load, found):
            held = held and passed
            print(f"{'PASS' if passed else 'FALL'} load {load}: {line}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
