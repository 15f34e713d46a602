"""One plan on the real API server: a scenario with one fault, played to its end and judged against a calm play.

A plan's name is `real/<scenario>/<fault>/<k>`; `python -m tests.faults NAME` plays one and shows its history.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from batch_operator.api import names
from tests.fakes import resource_types as kinds
from tests.fakes.watch_log import Commit
from tests.faults import faults, history
from tests.faults.faults import Fault
from tests.faults.lane import Lane, Record
from tests.faults.proxy import Written
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.unit.faults.end_state import difference
from tests.unit.faults.invariants import violations

MOST_WRITES = 3
PINNED = (
    "real/hundred-inputs/404/5",
    "real/hundred-inputs/watch-429/0",
    "real/hundred-inputs/watch-500/5",
)
"""What once found something; docs/reliability.md says what. Played in every sample."""
SLOW = (faults.TIMEOUT_BEFORE, faults.TIMEOUT_AFTER, faults.WATCH_SILENT)
"""They wait for the operator's own time-outs: half a minute and more."""
OTHERS = 3
"""Of the kinds of errors and watch faults each is played in every third scenario of CI's choice."""
_OVER = (("Stalled", "False"), ("Preempted", "False"))
_LASTING = ("completed_inputs", "failed_inputs", "spec_hash", "stopping", "handled_requests")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_ENDS_THE_OPERATOR = (faults.WATCH_ERROR, faults.WATCH_BUSY)
"""kopf ends the process at these (docs/adr/0002), and it is started again."""


@dataclass(frozen=True)
class Outcome:
    """How a plan ended. `found`: violations, one line each; `struck` False: the fault found no write or event k."""

    end: dict[str, Any]
    found: list[str]
    writes: list[Written]
    struck: bool
    events: int
    seconds: float
    history: list[Commit]


async def play(lane: Lane, scenario: Scenario, fault: Fault) -> Outcome:
    """Compares with nothing."""
    record = await lane.play(scenario, fault)
    commits = history.commits(record.seen, record.writes)
    seconds = record.ended - record.began
    found = violations(commits, history.sent(record.writes), history.second(record.ended))
    found += list(_more(record, lane, fault))
    return Outcome(_end_state(record, lane), found, record.writes, record.struck, record.events, seconds, commits)


def _more(record: Record, lane: Lane, fault: Fault) -> Iterator[str]:
    if not record.in_time:
        yield f"it came to no end in {record.ended - record.began:.0f} s"
    if record.restarts and fault.kind not in _ENDS_THE_OPERATOR:
        yield f"the operator ended {record.restarts} times by itself; its log is {lane.log}"
    homes = (f"/namespaces/{lane.namespace}/", f"/queues/{lane.namespace}/status")
    yield from (
        f"a write elsewhere: {w.verb} {w.path}" for w in record.writes if not any(home in w.path for home in homes)
    )


def compare(calm: Outcome, outcome: Outcome) -> list[str]:
    """The violations of `outcome`, with those that only the calm play shows."""
    found = list(outcome.found)
    if outcome.end != calm.end:
        found.append(f"ended differently: {difference(calm.end, outcome.end)}")
    if len(outcome.writes) > MOST_WRITES * len(calm.writes):
        found.append(f"{len(outcome.writes)} writes, {len(calm.writes)} without the fault")
    return found


def expected(scenario: Scenario, end: dict[str, Any]) -> list[str]:
    """What of the scenario's own words the calm play did not fulfil."""
    if scenario.expects is None:
        return [f"left over: {', '.join(end)}"] if end else []
    jobs = {name: end.get(f"job {name}", {}) for name in scenario.jobs}
    return [f"job {name} ended as {job}" for name, job in jobs.items() if not _holds(scenario.expects, job)]


def _holds(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_holds(value, found.get(key)) for key, value in wanted.items())
    return bool(wanted == found)


def parse(name: str) -> tuple[Scenario, Fault]:
    """A plan's name, such as real/success/crash-after-commit/3. Raises ValueError."""
    scenario, _, fault = name.removeprefix("real/").partition("/")
    if scenario not in SCENARIOS:
        raise ValueError(f"'{scenario}' is no scenario; there are {', '.join(SCENARIOS)}")
    return SCENARIOS[scenario], Fault.parse(fault or faults.NONE)


def all_faults(calm: Outcome) -> list[Fault]:
    """Every single fault that the scenario with this calm play gives room for."""
    writes = [Fault(kind, k) for k in range(len(calm.writes)) for kind in faults.WRITE_FAULTS]
    return writes + [Fault(kind, k) for k in range(calm.events) for kind in faults.WATCH_FAULTS]


def chosen_faults(calm: Outcome, scenario: int, *, sampled: bool = False) -> list[Fault]:
    """For CI: every crash (`sampled`: one of them at each write); and a third of the kinds of errors and watch faults,
    another one in the next scenario.
    """
    errors = [kind for kind in faults.WRITE_FAULTS if kind not in faults.CRASHES]
    crashes = tuple(faults.CRASHES)
    found = [
        Fault(kind, k)
        for k in range(len(calm.writes))
        for kind in (crashes[k % len(crashes) :][:1] if sampled else crashes)
    ]
    for kinds_, places in ((errors, len(calm.writes)), (faults.WATCH_FAULTS, calm.events)):
        for number, kind in enumerate(kinds_):
            if places and number % OTHERS == scenario % OTHERS:
                found.append(Fault(kind, (number * 7 + scenario * 3) % places))
    return found


def _end_state(record: Record, lane: Lane) -> dict[str, Any]:
    """What people see at the end, without times and without what differs between any two jobs of a name."""
    present: dict[str, history.Seen] = {}
    for seen in sorted(record.seen, key=lambda seen: seen.version):
        present[seen.object["metadata"]["uid"]] = seen
    state: dict[str, Any] = {}
    own_words = {lane.namespace: "<namespace>", lane.node: "<node>"}
    for seen in sorted(present.values(), key=_attempt):
        status, meta = seen.object.get("status") or {}, seen.object["metadata"]
        if seen.resource is kinds.BATCH_JOBS:
            hashed = ((status.get("ledger") or {}).get("spec_hash"), (status.get("error") or {}).get("error_uid"))
            own_words |= {str(word): "<own>" for word in (meta["uid"], status.get("id"), *hashed) if word}
            own_words[f"{meta['name']}-{meta['uid'][:6]}"] = meta["name"]
        if seen.type == "DELETED" or not (seen.resource is kinds.BATCH_JOBS or meta.get("ownerReferences")):
            continue
        if seen.resource is kinds.BATCH_JOBS:
            state[f"job {meta['name']}"] = _timeless(_without_old_troubles(status))
        elif seen.resource is kinds.PODS:
            state[f"Pod {meta['name'].rpartition('-')[0]}"] = status.get("phase")  # the newest attempt of its index
        else:
            state[f"{seen.resource.kind} {meta['name']}"] = "there"
    text = json.dumps(state, sort_keys=True)
    for word in sorted(own_words, key=len, reverse=True):
        text = text.replace(word, own_words[word])
    ended: dict[str, Any] = json.loads(text)
    return ended


def _attempt(seen: history.Seen) -> int:
    return int((seen.object["metadata"].get("labels") or {}).get(names.ATTEMPT_LABEL, 0))


def _without_old_troubles(status: dict[str, Any]) -> dict[str, Any]:
    """A fault may stall a job or start a new round: once that is over, what is left of it in status says nothing."""
    conditions = [c for c in status.get("conditions") or () if (c["type"], c["status"]) not in _OVER]
    ledger = {key: value for key, value in (status.get("ledger") or {}).items() if key in _LASTING}
    return {**status, "conditions": conditions, "ledger": ledger}


def shown(outcome: Outcome) -> str:
    """The history of a play, and what the operator wrote, for people."""
    lines = []
    for commit in outcome.history:
        status = commit.object.get("status") or {}
        what = (
            f"{commit.type:8} {commit.resource.kind} {commit.name} {status.get('status') or status.get('phase') or ''}"
        )
        lines.append(f"{commit.at - outcome.history[0].at:7.2f} s {commit.version} {commit.actor:10} {what}")
    for k, write in enumerate(outcome.writes):
        lines.append(f"write {k}: {write.verb} {write.path}: {write.answer.code if write.answer else 'never sent'}")
    return "\n".join(lines)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_timeless(inner) for inner in value]
    return "<time>" if isinstance(value, str) and _TIME.fullmatch(value) else value
