"""`python -m tests.unit.faults`: lists, shows and runs the plans on the fake API server.

NAME                     plays one plan, prints its history and what is wrong with it
(nothing)                prints the names of all plans with one fault
--all [--pairs N]        plays them all, and N with two faults, then the seeded bugs; the last line is for machines
"""

import argparse
import asyncio
import sys
import time

from tests.unit.faults.end_state import job_statuses
from tests.unit.faults.plans import compare, parse, play, reference
from tests.unit.faults.seeded import BUGS, missed
from tests.unit.faults.sweep import Tally, every_plan, quiet, run_all, single_names


async def show(name: str) -> int:
    plan = await parse(name)
    calm = await reference(plan.scenario)
    outcome = await play(plan)
    for commit in outcome.history:
        status = (commit.object.get("status") or {}).get("status") or (commit.object.get("status") or {}).get("phase")
        what = f"{commit.resource.kind} {commit.name}"
        print(f"{commit.at:8.1f} s {commit.version} {commit.actor:18} {commit.type:8} {what} {status or ''}")
    print(
        f"faults: {', '.join(str(fault) for fault in plan.faults)}; status: {' '.join(job_statuses(outcome.history))}"
    )
    found = compare(plan, outcome, calm).found
    print("\n".join(found) or "no violation")
    return 1 if found else 0


def sweep(processes: int, pairs: int, seed: int, seconds: float | None) -> int:
    began = time.monotonic()
    names = asyncio.run(every_plan(pairs, seed))
    told, shown = began, 0

    def tell(tally: Tally, of: int) -> None:
        nonlocal told, shown
        for words in tally.violations[shown:]:
            print(words, flush=True)
        shown = len(tally.violations)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{told - began:4.0f} s: {tally.plans.total()} of {of} plans", file=sys.stderr, flush=True)

    tally = run_all(names, processes=processes, seconds=seconds, progress=tell)
    print(tally.table())
    took = time.monotonic() - began
    print(
        f"{tally.plans.total() / took:.0f} plans/s; most writes under one fault: {tally.effort:.2f} x ({tally.dearest})"
    )
    through = asyncio.run(missed())
    print("".join(f"a seeded bug was not caught: {words}\n" for words in through), end="")
    bugs = f"{len(BUGS) - len(through)}/{len(BUGS)}"
    print(f"plans={tally.plans.total()} violations={len(tally.violations)} seeded_bugs={bugs}")
    return 1 if tally.violations or through else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="stop after that time")
    asked = parser.parse_args()
    quiet()
    if asked.name:
        return asyncio.run(show(asked.name))
    if asked.all:
        return sweep(asked.processes, asked.pairs, asked.seed, asked.seconds)
    print("\n".join(asyncio.run(single_names())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
