"""Whether the oracle catches the bugs that are seeded into the operator. Used by __main__ and test_seeded_bugs."""

import re

import pytest

from tests.fakes.client import Request
from tests.unit.faults.bugs import OF_WRITES, Bug
from tests.unit.faults.bugs_of_decisions import OF_DECISIONS
from tests.unit.faults.bugs_of_queues import OF_QUEUES
from tests.unit.faults.plans import check, judge, parse, reference
from tests.unit.faults.scenarios import SCENARIOS

BUGS = (*OF_WRITES, *OF_DECISIONS, *OF_QUEUES)


async def missed() -> list[str]:
    """One line for each bug that its plan does not catch."""
    lines = []
    for bug in BUGS:
        try:
            await catch(bug)
        except AssertionError as missing:
            lines.append(f"{bug.name}: {missing}")
    return lines


async def catch(bug: Bug) -> None:
    """Raises AssertionError where the bug's plan does not catch it, or finds something without it."""
    calm = await reference(SCENARIOS[bug.plan.split("/")[0]])
    name = plan_of(bug.plan, calm.requests)
    assert await check(name) == [], f"{name} finds something without the bug"
    plan = await parse(name)
    with pytest.MonkeyPatch.context() as patch:
        bug.put_in(patch)
        found = (await judge(plan)).found
    assert any(bug.words in words for words in found), f"{name} found only: {found}"


def plan_of(text: str, requests: list[Request]) -> str:
    """{delete}: the first delete; {status:n}: the n-th status patch, from 0; {pod:n}: the n-th pod's create."""
    places = {
        "delete": [k for k, request in enumerate(requests) if request.verb == "delete"],
        "status": [k for k, request in enumerate(requests) if request.verb == "patch"],
        "pod": [k for k, r in enumerate(requests) if r.verb == "create" and r.path.endswith("/pods")],
    }
    return re.sub(r"\{(\w+)(?::(\d+))?\}", lambda found: str(places[found[1]][int(found[2] or 0)]), text)
