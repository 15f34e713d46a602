"""One plan: a scenario with one fault, or two, run to its end and judged. `python -m tests.unit.faults NAME` shows one.

A plan's name is <scenario>/<fault>/<k>; <scenario>/pair/<seed> has two faults that are drawn from the seed.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.fakes.client import Request, Sent
from tests.fakes.faults import (
    ANSWERS,
    CLOCK_RESTARTS,
    CLOCK_STEPS,
    CRASHES,
    LOST,
    PAUSES,
    SECONDS_LOST,
    STALE,
    WATCH_FAULTS,
    Fault,
    Kind,
)
from tests.fakes.operator_process import SETTINGS
from tests.fakes.simulated_watch import STREAM_SECONDS
from tests.fakes.watch_log import Commit
from tests.fakes.world import Restless, World
from tests.unit.faults.end_state import difference, end_in_short, end_state, job_ends, pod_phases, without_counts
from tests.unit.faults.invariants import violations
from tests.unit.faults.queue_rules import PATIENCE_SECONDS, QueueRules
from tests.unit.faults.scenario import Scenario
from tests.unit.faults.scenarios import SCENARIOS

SECONDS = 1500.0
QUIET_SECONDS = 120.0
SLACK_SECONDS = 150.0
MOST_WRITES = 3
PAIR = "pair"
_HEARD_LATE = {Kind.WATCH_DROPS: SETTINGS.audit_interval_seconds, Kind.WATCH_BOOKMARKS: STREAM_SECONDS}
_EVERY_WRITE = (
    *(kind for kind in CRASHES if kind is not Kind.TAMPERED),
    *(kind for kind in ANSWERS if kind not in (Kind.EXISTS, Kind.QUOTA)),
    *LOST,
    Kind.DELAYED,
    Kind.LATE_COMMIT,
    *PAUSES,
    *CLOCK_STEPS,
)


ESSENTIAL = frozenset(
    {
        *CRASHES,
        Kind.NOT_FOUND,
        Kind.CONFLICT,
        Kind.EXISTS,
        Kind.INVALID,
        Kind.SERVER_ERROR,
        Kind.TIMEOUT_AFTER,
        Kind.LATE_COMMIT,
        *PAUSES,
        Kind.CLOCK_FORWARD_RESTART,
        Kind.CLOCK_BACK_RESTART,
        Kind.STRANGER,
        Kind.TWO,
        Kind.WATCH_DROPS,
        Kind.WATCH_LATE,
        Kind.WATCH_SWAPS,
        Kind.WATCH_GONE,
    }
)
"""What has found something that no other kind has; all of it for every scenario, the rest for the eight in full."""


@dataclass(frozen=True)
class Plan:
    """`kind`: under which the sweep counts it."""

    scenario: Scenario
    faults: tuple[Fault, ...]
    kind: str
    name: str

    @property
    def is_stale(self) -> bool:
        """An operator acts on what it sees, and may see what is long past: it may clean away a pod that has ended."""
        return any(fault.kind in STALE for fault in self.faults)

    @property
    def sees_late(self) -> bool:
        return any(fault.kind in WATCH_FAULTS for fault in self.faults)

    @property
    def sets_a_clock(self) -> bool:
        """An operator begins with another day's time: a timeout may be over at once, and a new round begin."""
        return any(fault.kind in CLOCK_RESTARTS for fault in self.faults)

    @property
    def decides_alone(self) -> bool:
        """No two operators work at once. The Lease forbids that two of them decide; what two who do would admit at the
        same time is not held against them, but how it ends is."""
        return not any(fault.kind in (*PAUSES, Kind.TWO, Kind.LATE_COMMIT) for fault in self.faults)

    @property
    def decides_late(self) -> float:
        """Seconds for which an operator may act on what is past: an event that is lost is found by the audit."""
        hears_late = sum(_HEARD_LATE.get(fault.kind, 0.0) for fault in self.faults)
        return PATIENCE_SECONDS * len(self.faults) + hears_late

    @property
    def patience(self) -> float:
        """Seconds by which it may end later than without its faults."""
        held = (PAUSES | SECONDS_LOST | _HEARD_LATE).get
        lost = sum(fault.restart_seconds + held(fault.kind, 0.0) for fault in self.faults)
        return SLACK_SECONDS * len(self.faults) + self.scenario.patience + lost


@dataclass(frozen=True)
class Outcome:
    """How a plan ended. `end`, `in_short`: what must be as without the fault (end_state); `jobs`: their status;
    `pods`: those that are left, by phase; `events`: watch events that its operators heard; `ended`: the last write's
    second.
    """

    end: dict[str, Any]
    in_short: dict[str, Any]
    jobs: dict[str, Any]
    pods: Counter[str]
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
    choice = list(faults(scenario, await reference(scenario)))
    first = draw.choice(choice)
    second = draw.choice([fault for fault in choice if fault.kind is not first.kind and not _two_days(first, fault)])
    return Plan(scenario, (first, second), PAIR, f"{scenario.name}/{PAIR}/{seed}")


def _two_days(first: Fault, second: Fault) -> bool:
    """Two operators that work at once, with clocks a day apart: the Lease lets only one of them write."""
    at_once = {*PAUSES, Kind.TWO, Kind.LATE_COMMIT}
    kinds = (first.kind, second.kind)
    steps = {*CLOCK_RESTARTS, *CLOCK_STEPS}  # who starts after a step sees it
    return any(kind in steps for kind in kinds) and any(kind in at_once for kind in kinds)


async def parse(name: str) -> Plan:
    """The plan of this name, such as success/crash-after-commit/3."""
    scenario, _, fault = name.partition("/")
    if fault.startswith(f"{PAIR}/"):
        return await pair(SCENARIOS[scenario], int(fault.removeprefix(f"{PAIR}/")))
    return single(SCENARIOS[scenario], Fault.parse(fault))


async def play(plan: Plan) -> Outcome:
    """Runs the plan and looks at the server's history; compares with nothing."""
    world = World(plan.scenario.script, *plan.faults, nodes=plan.scenario.nodes)
    plan.scenario.set_up(world)
    restless: list[str] = []
    try:
        await world.run_until(SECONDS)
    except Restless as words:
        restless = [str(words)]
    history, sent = world.server.log.all, sorted(world.sent, key=lambda s: (s.at, s.version))
    ended = max((s.at for s in sent), default=0.0)
    found = restless + violations(
        history,
        sent,
        SECONDS,
        world.stopped,
        clock_was_set=plan.sets_a_clock,
        sees_late=plan.is_stale or plan.sees_late or any(fault.kind is Kind.LATE_COMMIT for fault in plan.faults),
        queues=QueueRules(plan.decides_late, decides_alone=plan.decides_alone and not plan.is_stale),
    )
    if ended > SECONDS - QUIET_SECONDS:
        found.append(f"still writing at {ended:.0f} s")
    requests = [s.request for s in sent]
    return Outcome(
        end_state(world),
        end_in_short(world),
        job_ends(world),
        pod_phases(world),
        found,
        sent,
        requests,
        world.misfortunes.events,
        ended,
        history,
    )


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
    tampered = any(fault.kind is Kind.TAMPERED for fault in plan.faults)  # a job's end needs its ConfigMap no more
    cleans_late = plan.sees_late and not plan.decides_alone  # one of two may clean away pods that have ended
    in_short = plan.is_stale or cleans_late or plan.sets_a_clock or tampered or not plan.scenario.one_way
    wanted, got = (calm.in_short, outcome.in_short) if in_short else (calm.end, outcome.end)
    if plan.scenario.counts_vary or plan.sets_a_clock or plan.kind == PAIR:
        wanted, got = without_counts(wanted), without_counts(got)
    if wanted != got:
        found.append(f"ended differently: {difference(wanted, got)}")
    effort = len(outcome.sent) / len(calm.sent)
    if effort > MOST_WRITES * len(plan.faults):
        found.append(f"{len(outcome.sent)} writes, {len(calm.sent)} without the fault")
    late = outcome.ended - calm.ended
    if late > plan.patience:
        found.append(f"ended {late:.0f} s later than without the fault")
    return Verdict(found, effort)


def faults(scenario: Scenario, calm: Outcome) -> Iterator[Fault]:
    """The single faults that the scenario with this reference gives room for: all, or the essential ones."""
    kinds = (set(Kind) if scenario.in_full else ESSENTIAL) - set(scenario.without)
    return (fault for fault in _every_fault(calm) if fault.kind in kinds)


def _every_fault(calm: Outcome) -> Iterator[Fault]:
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
