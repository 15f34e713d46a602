"""One plan: a scenario with one fault, or two, run to its end and judged. `python -m tests.unit.faults NAME` shows one.

A plan's name is <scenario>/<fault>/<k>; <scenario>/pair/<seed> has two faults that are drawn from the seed.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.fakes.client import Request, Sent
from tests.fakes.faults import (
    ANSWERS,
    CLOCK_STEPS,
    CRASHES,
    LOST,
    PAUSES,
    SECONDS_LOST,
    WATCH_FAULTS,
    Fault,
    Kind,
)
from tests.fakes.operator_process import SETTINGS
from tests.fakes.simulated_watch import STREAM_SECONDS
from tests.fakes.watch_log import Commit
from tests.fakes.world import Restless, World
from tests.unit.faults.end_state import difference, end_state
from tests.unit.faults.invariants import violations
from tests.unit.faults.scenarios import SCENARIOS, Scenario

SECONDS = 1500.0
QUIET_SECONDS = 120.0
SLACK_SECONDS = 150.0
MOST_WRITES = 3
PAIR = "pair"
_HEARD_LATE = {Kind.WATCH_DROPS: SETTINGS.audit_interval_seconds, Kind.WATCH_BOOKMARKS: STREAM_SECONDS}
_EVERY_WRITE = (
    *(kind for kind in CRASHES if kind not in (Kind.TAMPERED, Kind.STALE_PODS)),
    *(kind for kind in ANSWERS if kind not in (Kind.EXISTS, Kind.QUOTA)),
    *LOST,
    Kind.DELAYED,
    Kind.LATE_COMMIT,
    *PAUSES,
    *(kind for kind in CLOCK_STEPS if kind is not Kind.CLOCK_BACK_RESTART),
)


@dataclass(frozen=True)
class Plan:
    """`kind`: under which the sweep counts it."""

    scenario: Scenario
    faults: tuple[Fault, ...]
    kind: str
    name: str

    @property
    def patience(self) -> float:
        """Seconds by which it may end later than without its faults."""
        held = (PAUSES | SECONDS_LOST | _HEARD_LATE).get
        lost = sum(fault.restart_seconds + held(fault.kind, 0.0) for fault in self.faults)
        return SLACK_SECONDS * len(self.faults) + self.scenario.patience + lost


@dataclass(frozen=True)
class Outcome:
    """How a plan ended. `events`: watch events that its operators heard; `ended`: the last write's second."""

    end: dict[str, Any]
    found: list[str]
    sent: list[Sent]
    requests: list[Request]
    events: int
    ended: float
    history: list[Commit]


@dataclass(frozen=True)
class Verdict:
    """What the oracle says of a plan. `effort`: its writes, as a multiple of those without a fault."""

    found: list[str]
    effort: float


_REFERENCES: dict[str, Outcome] = {}


def single(scenario: Scenario, fault: Fault) -> Plan:
    return Plan(scenario, (fault,), fault.kind.value, f"{scenario.name}/{fault}")


async def pair(scenario: Scenario, seed: int) -> Plan:
    """Two faults of different kinds, the same for the same seed (and the same operator)."""
    draw = random.Random(f"{scenario.name}/{seed}")
    choice = list(faults(await reference(scenario)))
    first = draw.choice(choice)
    second = draw.choice([fault for fault in choice if fault.kind is not first.kind])
    return Plan(scenario, (first, second), PAIR, f"{scenario.name}/{PAIR}/{seed}")


async def parse(name: str) -> Plan:
    """The plan of this name, such as success/crash-after-commit/3."""
    scenario, _, fault = name.partition("/")
    if fault.startswith(f"{PAIR}/"):
        return await pair(SCENARIOS[scenario], int(fault.removeprefix(f"{PAIR}/")))
    return single(SCENARIOS[scenario], Fault.parse(fault))


async def play(plan: Plan) -> Outcome:
    """Runs the plan and looks at the server's history; compares with nothing."""
    world = World(plan.scenario.script, *plan.faults)
    plan.scenario.set_up(world)
    restless: list[str] = []
    try:
        await world.run_until(SECONDS)
    except Restless as words:
        restless = [str(words)]
    history, sent = world.server.log.all, sorted(world.sent, key=lambda s: (s.at, s.version))
    ended = max((s.at for s in sent), default=0.0)
    found = restless + violations(history, sent, SECONDS, world.stopped)
    if ended > SECONDS - QUIET_SECONDS:
        found.append(f"still writing at {ended:.0f} s")
    requests = [s.request for s in sent]
    return Outcome(end_state(world), found, sent, requests, world.misfortunes.events, ended, history)


async def reference(scenario: Scenario) -> Outcome:
    """The scenario without any fault; run once."""
    if scenario.name not in _REFERENCES:
        _REFERENCES[scenario.name] = await play(single(scenario, Fault()))
    return _REFERENCES[scenario.name]


async def check(name: str) -> list[str]:
    """The violations of the plan of this name."""
    return (await judge(await parse(name))).found


async def judge(plan: Plan) -> Verdict:
    """Plays the plan, and holds it against its reference too."""
    return compare(plan, await play(plan), await reference(plan.scenario))


def compare(plan: Plan, outcome: Outcome, calm: Outcome) -> Verdict:
    found = list(outcome.found)
    if outcome.end != calm.end:
        found.append(f"ended differently: {difference(calm.end, outcome.end)}")
    effort = len(outcome.sent) / len(calm.sent)
    if effort > MOST_WRITES * len(plan.faults):
        found.append(f"{len(outcome.sent)} writes, {len(calm.sent)} without the fault")
    late = outcome.ended - calm.ended
    if late > plan.patience:
        found.append(f"ended {late:.0f} s later than without the fault")
    return Verdict(found, effort)


def faults(calm: Outcome) -> Iterator[Fault]:
    """Every single fault that the scenario with this reference gives room for."""
    written = False
    for k, request in enumerate(calm.requests):
        yield from (Fault(kind, k) for kind in _EVERY_WRITE)
        if request.verb == "create":
            yield Fault(Kind.EXISTS, k)
            if request.path.endswith("/pods"):
                yield Fault(Kind.QUOTA, k)
        if request.verb == "delete":
            yield Fault(Kind.STRANGER, k)
        if written and "/events" not in request.path:
            yield Fault(Kind.TAMPERED, k)
        written = written or "/configmaps" in request.path
    yield from (Fault(Kind.TWO, k) for k in (0, 1))
    for kind in WATCH_FAULTS:
        yield from (Fault(kind, k) for k in range(calm.events))
