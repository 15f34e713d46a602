"""``make simulate``: the scheduler's figures beside plain FIFO's and plain BestEffort's, and whether they hold.

``python -m tests.simulate [--seeds N] [--jobs N] [--loads 0.95 1.2] [--docs docs/queue.md]``; the whole is ten seeds of
10,000 jobs, in two processes; Ctrl-C ends it at once, and nothing is written.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

from tests.simulate.figures import Figures
from tests.simulate.policies import POLICIES, Week
from tests.simulate.report import table, verdicts, write

INTERRUPTED = 130

ABOUT = """\
Written by `make simulate`; {seeds} seeds of {jobs:,} jobs that arrive in {days:.1f} days, means over the seeds.
64 GPUs; five namespaces that ask for as much each, their weights in brackets; three priorities. `ours` is
BestEffortFIFO with LowerPriority and the defaults, `StrictFIFO` has the same order and no preemption; plain BestEffort
knows priorities but neither namespaces nor reservations; plain FIFO knows age alone. The decisions are those of the
operator's own scheduler. Waits are all the time that a job did not run, also after it was preempted. A preempted job
repeats what it had done of the input at hand (inputs of 5 minutes) and takes 30 s to end. Jain's index is of what each
namespace got over what it was due hour by hour: its part by weight among equals in priority, and never more than it
asked for."""

ON_NODES = """\
So far, what fits the quota has a place. The same with places on nodes ({seeds} of the seeds): eight nodes of eight
GPUs, full nodes first, a job of 16 GPUs is two pods of eight, and a job whose pods have no place for 10 minutes goes
back into the queue. `ours` and `StrictFIFO` have `require_matching_node: true` and admit whom the nodes have room for.
The plain ones know nothing of nodes, as is usual: a job that fits the sum of what is free, but no node, holds quota
until it is sent back, and large jobs fare worst.
"""


def simulate(week: Week) -> tuple[Week, Figures, float]:
    began = time.process_time()
    return week, week.simulate(), time.process_time() - began


def _ends_with_its_parent() -> None:
    """Ctrl-C reaches the whole group; it is the parent that ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def in_processes(weeks: list[Week], processes: int) -> Iterator[tuple[Week, Figures]]:
    """The dearest first; a line each."""
    began = time.monotonic()
    with Pool(processes, initializer=_ends_with_its_parent) as pool:
        for number, (week, figures, spent) in enumerate(pool.imap_unordered(simulate, weeks), 1):
            print(
                f"{time.monotonic() - began:5.0f} s: {number} of {len(weeks)}: load {week.load}, seed {week.seed}, "
                f"{week.policy}{', on nodes' if week.on_nodes else ''} ({spent:.0f} s)",
                file=sys.stderr,
                flush=True,
            )
            yield week, figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--node-seeds", type=int, default=3, help="seeds that are played on nodes too")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--loads", type=float, nargs="+", default=[0.95, 1.2])
    parser.add_argument("--docs", type=Path, help="a page whose figures are to be replaced")
    chosen = parser.parse_args()
    on_nodes = min(chosen.node_seeds, chosen.seeds)
    weeks = [
        Week(name, load, seed, chosen.jobs, nodes)
        for nodes, seeds in ((True, on_nodes), (False, chosen.seeds))
        for load in sorted(chosen.loads, reverse=True)
        for name in POLICIES
        for seed in range(seeds)
    ]
    try:
        found = dict(in_processes(weeks, chosen.processes))
    except KeyboardInterrupt:
        print("interrupted: nothing is written", file=sys.stderr)
        return INTERRUPTED
    parts = [ABOUT.format(seeds=chosen.seeds, jobs=chosen.jobs, days=7 * chosen.jobs / 10_000)]
    lines: list[str] = []
    for nodes, seeds in ((False, chosen.seeds), (True, on_nodes)):
        if nodes and seeds:
            parts.append(ON_NODES.format(seeds=seeds).strip())
        for load in chosen.loads if seeds else ():
            these = {
                name: [found[Week(name, load, seed, chosen.jobs, nodes)] for seed in range(seeds)] for name in POLICIES
            }
            parts.append(table(load, these, nodes))
            lines += verdicts(load, these, nodes)
    figures = "\n\n".join([*parts, "```text\n" + "\n".join(lines) + "\n```"])
    print(figures)
    if chosen.docs is not None:
        write(chosen.docs, figures)
    return 0 if all(line.startswith("PASS") for line in lines) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
