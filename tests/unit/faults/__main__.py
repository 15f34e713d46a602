"""Shows one plan: `python -m tests.unit.faults success/crash-after-commit/3`; without a name: all names."""

import asyncio
import logging
import sys

import structlog

from tests.unit.faults.plans import faults, judge, parse, play, reference
from tests.unit.faults.scenarios import SCENARIOS


async def show(name: str) -> int:
    scenario, fault = parse(name)
    calm = await reference(scenario)
    outcome = await play(scenario, fault)
    for commit in outcome.history:
        status = (commit.object.get("status") or {}).get("status") or (commit.object.get("status") or {}).get("phase")
        what = f"{commit.resource.kind} {commit.name}"
        print(f"{commit.at:8.1f} s {commit.version} {commit.actor:18} {commit.type:8} {what} {status or ''}")
    found = await judge(scenario, fault, calm)
    print("\n".join(found) or "no violation")
    return 1 if found else 0


async def names() -> int:
    for scenario in SCENARIOS.values():
        for fault in faults(await reference(scenario)):
            print(f"{scenario.name}/{fault}")
    return 0


structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
sys.exit(asyncio.run(show(sys.argv[1]) if sys.argv[1:] else names()))
