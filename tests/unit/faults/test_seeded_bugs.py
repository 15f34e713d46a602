"""The oracle is tested too: each bug seeded into the operator is caught by the plan that is named for it."""

import re

import pytest

from tests.fakes.client import Request
from tests.unit.faults.bugs import BUGS, Bug
from tests.unit.faults.plans import check, judge, parse, reference
from tests.unit.faults.scenarios import SCENARIOS


def plan_of(text: str, requests: list[Request]) -> str:
    """{delete}: the first delete; {status:n}: the n-th status patch, from 0."""
    deletes = [k for k, request in enumerate(requests) if request.verb == "delete"]
    patches = [k for k, request in enumerate(requests) if request.verb == "patch"]
    text = re.sub(r"\{status:(\d+)\}", lambda found: str(patches[int(found[1])]), text)
    return text.replace("{delete}", str(deletes[0]) if deletes else "none")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
async def test_it_is_caught(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    calm = await reference(SCENARIOS[bug.plan.split("/")[0]])
    plan = plan_of(bug.plan, calm.requests)
    assert await check(plan) == [], "without the bug the plan passes"
    with monkeypatch.context() as patch:
        bug.put_in(patch)
        scenario, fault = parse(plan)
        found = await judge(scenario, fault, calm)
    assert any(bug.words in words for words in found), f"{plan} found only: {found}"
