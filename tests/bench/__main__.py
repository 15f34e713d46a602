"""``make bench``: the benchmark, and the report of what it found.

``python -m tests.bench [--only PART ...] [--contenders NAME ...] [--rounds N] [--jobs N] [--look] [--write]`` runs it
on a cluster of its own; ``python -m tests.bench report [--records DIR] [--write]`` makes table and picture again from
the records of a run, the newest by default. Parts and contenders: see --help.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from tests.bench import document, machine, report, tables
from tests.bench.contenders.line_up import names
from tests.bench.ground import ground
from tests.bench.processes import keep_quiet
from tests.bench.programme import PARTS, Programme, Size
from tests.bench.records import Records
from tests.cluster.progress import say

LOOK = Size(rounds=1, jobs=200, idle_jobs=20, churn_seconds=5.0, queued=300, many=300, inputs=2000)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["run", "report"], default="run")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--contenders", nargs="+", choices=names(), metavar="NAME", help=f"of {'; '.join(names())}")
    parser.add_argument("--rounds", type=int, help="of the throughput (default 5)")
    parser.add_argument("--jobs", type=int, help="pods in all of a throughput's run (default 2000)")
    parser.add_argument("--look", action="store_true", help="small sizes: does it all run?")
    parser.add_argument("--write", action="store_true", help="table and picture into docs/performance.md and .svg")
    parser.add_argument("--records", type=Path, help="the directory of a run, for report")
    return parser


async def _run(chosen: argparse.Namespace, records: Records) -> list[str]:
    size = LOOK if chosen.look else Size()
    rounds, jobs = chosen.rounds or size.rounds, chosen.jobs or size.jobs
    size = Size(**{**vars(size), "rounds": rounds, "jobs": jobs})
    records.add(machine.describe())
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in one"
    for number in (signal.SIGTERM, signal.SIGINT):  # the cluster is ended then too
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with ground(records.directory) as up:
        programme = Programme(up, records, size, chosen.contenders or ())
        await programme.run(chosen.only or PARTS)
    return programme.failures


def main() -> int:
    chosen = _parser().parse_args()
    keep_quiet()
    failures: list[str] = []
    if chosen.command == "report":
        records = Records(chosen.records) if chosen.records else Records.newest()
    else:
        records = Records.fresh()
        say(f"records go to {records.directory}")
        try:
            failures = asyncio.run(_run(chosen, records))
        except asyncio.CancelledError:
            say("interrupted; the records so far are kept")
            return 130
    found = records.load()
    if chosen.write:
        document.write(found)
    rows = report.rows(found)
    whole = chosen.command == "run" and not (chosen.only or chosen.contenders)
    lines = [row.line for row in rows if whole or row.was_measured]
    print(tables.tables(found), *(f"failed: {failure}" for failure in failures), *lines, sep="\n", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
