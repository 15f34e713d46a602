"""Command line of the faults on the real API server: `python -m tests.faults --help`."""

import argparse
import asyncio
import logging
import sys

import structlog

from tests.cluster import connection
from tests.faults import ci, generated, plans, recovery
from tests.faults.bench import Bench, bench
from tests.faults.scenarios import SCENARIOS
from tests.faults.sweep import LANES, chosen, lanes, references, sweep


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Faults on the real API server.")
    commands = parser.add_subparsers(dest="command", required=True)
    plan = commands.add_parser("plan", help="play plans by name, and show the history of each")
    plan.add_argument("names", nargs="+", metavar="NAME", help="such as real/success/crash-after-commit/3")
    run = commands.add_parser("sweep", help="play many plans")
    run.add_argument("--everything", action="store_true", help="every fault at every place; without it CI's choice")
    run.add_argument("--seconds", type=float, default=0.0, help="only those that begin within so long")
    run.add_argument("--lanes", type=int, default=LANES, help="plans at the same time")
    run.add_argument("--seed", type=int, default=0, help="of their order")
    run.add_argument("--scenario", action="append", default=[], choices=list(SCENARIOS))
    objects = commands.add_parser("generated", help="generated objects beside a canary")
    objects.add_argument("--count", type=int, default=10_000)
    objects.add_argument("--seed", type=int, default=1)
    crash = commands.add_parser("recovery", help="the time to recover after kill -9 with many live jobs")
    crash.add_argument("--jobs", type=int, default=1000)
    everything = commands.add_parser("ci", help="all of them, the fake API server's and the slow node's too")
    everything.add_argument("--everything", action="store_true", help="without a limit of time")
    return parser


async def _plan(desk: Bench, names: list[str]) -> bool:
    well = True
    desk.keep_logs = True
    async with lanes(desk, 1) as made:
        for name in names:
            scenario, fault = plans.parse(name)
            calm = await references(made, [scenario.name])
            outcome = await plans.play(made[0], scenario, fault)
            print(plans.shown(outcome))
            found = plans.compare(calm[scenario.name], outcome)
            if fault.kind != "reference" and not outcome.struck:
                found.append("the fault found nothing to strike")
            print("\n".join(found) or "no violation", f"({outcome.seconds:.1f} s; the operator's log: {made[0].log})")
            well = well and not found
    return well


async def _sweep(desk: Bench, arguments: argparse.Namespace) -> bool:
    async with lanes(desk, arguments.lanes) as made:
        calm = await references(made, arguments.scenario or tuple(SCENARIOS))
        todo = chosen(calm, arguments.everything, arguments.seed)
        figures = await sweep(made, calm, todo, arguments.seconds)
    print(figures.table())
    return not figures.found


async def _generated(desk: Bench, arguments: argparse.Namespace) -> bool:
    figures = await generated.run(desk, arguments.count, arguments.seed)
    print(figures.table())
    print("\n".join(figures.found) or "no violation")
    return not figures.found


async def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "ci":
        return 0 if await ci.run(arguments.everything) else 1
    async with bench(connection.load().kubeconfig) as desk:
        if arguments.command == "plan":
            well = await _plan(desk, arguments.names)
        elif arguments.command == "sweep":
            well = await _sweep(desk, arguments)
        elif arguments.command == "generated":
            well = await _generated(desk, arguments)
        else:
            times = await recovery.run(desk, arguments.jobs)
            print("\n".join((times.table(), *times.found)))
            well = not times.found
    return 0 if well else 1


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sys.exit(asyncio.run(_run(_parser().parse_args())))
