"""One plan: a scenario with one fault, run to its end and judged. `python -m tests.unit.faults NAME` shows one."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.fakes.client import Request, Sent
from tests.fakes.faults import ANSWERS, CRASHES, PAUSES, TIMEOUTS, WATCH_FAULTS, Fault, Kind
from tests.fakes.resource_types import BATCH_JOBS, CONFIG_MAPS, PODS
from tests.fakes.watch_log import Commit
from tests.fakes.world import Restless, World
from tests.unit.faults.invariants import violations
from tests.unit.faults.scenarios import SCENARIOS, Scenario

SECONDS = 1500.0
QUIET_SECONDS = 120.0
SLACK_SECONDS = 150.0
MOST_WRITES = 3
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@dataclass(frozen=True)
class Outcome:
    """How a plan ended. `events`: watch events that the first operator heard; `ended`: the last write's second."""

    end: dict[str, Any]
    found: list[str]
    sent: list[Sent]
    requests: list[Request]
    events: int
    ended: float
    history: list[Commit]


_REFERENCES: dict[str, Outcome] = {}


async def play(scenario: Scenario, fault: Fault) -> Outcome:
    """Runs the scenario under the fault and looks at the server's history; compares with nothing."""
    world = World(scenario.script, fault)
    scenario.set_up(world)
    restless: list[str] = []
    try:
        await world.run_until(SECONDS)
    except Restless as words:
        restless = [str(words)]
    history, sent = world.server.log.all, sorted(world.sent, key=lambda s: (s.at, s.version))
    ended = max((s.at for s in sent), default=0.0)
    stopped = world.operators[0].name if fault.kind in (*PAUSES, Kind.LATE_COMMIT) else ""
    found = restless + violations(history, sent, SECONDS, stopped)
    if ended > SECONDS - QUIET_SECONDS:
        found.append(f"still writing at {ended:.0f} s")
    requests = [s.request for s in world.operators[0].client.sent]
    return Outcome(end_state(world), found, sent, requests, world.operators[0].events, ended, history)


async def reference(scenario: Scenario) -> Outcome:
    """The scenario without any fault; run once."""
    if scenario.name not in _REFERENCES:
        _REFERENCES[scenario.name] = await play(scenario, Fault())
    return _REFERENCES[scenario.name]


async def check(name: str) -> list[str]:
    """The violations of the plan of this name, against its reference."""
    scenario, fault = parse(name)
    return await judge(scenario, fault, await reference(scenario))


async def judge(scenario: Scenario, fault: Fault, calm: Outcome) -> list[str]:
    outcome = await play(scenario, fault)
    found = list(outcome.found)
    if outcome.end != calm.end:
        found.append(f"ended differently: {difference(calm.end, outcome.end)}")
    if len(outcome.sent) > MOST_WRITES * len(calm.sent):
        found.append(f"{len(outcome.sent)} writes, {len(calm.sent)} without the fault")
    late = outcome.ended - calm.ended
    if late > SLACK_SECONDS + scenario.patience + fault.restart_seconds + PAUSES.get(fault.kind, 0.0):
        found.append(f"ended {late:.0f} s later than without the fault")
    return found


def sample(plans: Iterable[Fault]) -> list[Fault]:
    """What the unit tests run within 20 s: every kind, and every write under all but the dearest kinds."""
    halved = (Kind.AWAY, Kind.PAUSED_LONG, Kind.LATE_COMMIT)
    every = dict.fromkeys(WATCH_FAULTS, 3) | dict.fromkeys(halved, 2) | {Kind.UNAVAILABLE: 4}
    return [fault for fault in plans if fault.k % every.get(fault.kind, 1) == 0]


def parse(name: str) -> tuple[Scenario, Fault]:
    """A plan's name, such as success/crash-after-commit/3."""
    scenario, _, fault = name.partition("/")
    return SCENARIOS[scenario], Fault.parse(fault)


def faults(calm: Outcome) -> Iterator[Fault]:
    """Every single fault that the scenario with this reference gives room for."""
    written = False
    for k, request in enumerate(calm.requests):
        for kind in (*CRASHES, *ANSWERS, *TIMEOUTS, *PAUSES, Kind.LATE_COMMIT):
            if kind not in (Kind.TAMPERED, Kind.EXISTS):
                yield Fault(kind, k)
        if request.verb == "create":
            yield Fault(Kind.EXISTS, k)
        if request.verb == "delete":
            yield Fault(Kind.STRANGER, k)
        if written and "/events" not in request.path:
            yield Fault(Kind.TAMPERED, k)
        written = written or "/configmaps" in request.path
    yield from (Fault(Kind.TWO, k) for k in (0, 1))
    for kind in WATCH_FAULTS:
        yield from (Fault(kind, k) for k in range(calm.events))


def end_state(world: World) -> dict[str, Any]:
    """What people see at the end, without times: the jobs' status, and their children by name."""
    server = world.server
    jobs = server.list_page("/apis/batch-operator.dev/v1alpha1/batchjobs")["items"]
    state: dict[str, Any] = {f"job {job['metadata']['name']}": _timeless(job.get("status") or {}) for job in jobs}
    for resource in (PODS, CONFIG_MAPS):
        for obj in server.list_page(f"/api/v1/{resource.plural}")["items"]:
            if obj["metadata"].get("ownerReferences"):
                what = obj["status"].get("phase") if resource is PODS else obj["binaryData"]
                state[f"{resource.kind} {obj['metadata']['name']}"] = what
    return state


def job_statuses(history: list[Commit]) -> list[str]:
    """The values that status.status went through."""
    seen = [(c.object.get("status") or {}).get("status") for c in history if c.resource is BATCH_JOBS]
    return [str(now) for before, now in zip([None, *seen], seen, strict=False) if now and now != before]


def difference(left: Any, right: Any, where: str = "") -> str:
    """The first place where two states differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            if left.get(key) != right.get(key):
                return difference(left.get(key), right.get(key), f"{where}/{key}")
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for place, (one, other) in enumerate(zip(left, right, strict=True)):
            if one != other:
                return difference(one, other, f"{where}/{place}")
    return f"{where}: {left!r} became {right!r}"


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_timeless(inner) for inner in value]
    return "<time>" if isinstance(value, str) and _TIME.fullmatch(value) else value
