"""A job of a higher PriorityClass gets its quota from two others, as the cluster's own scheduler would do it.

The real node has 4 GPUs. Jobs `low-0` and `low-1` have one each, and with that the quota; `bystander` has one without
a quota, and loses it to a pod of nobody's, by the cluster's own scheduler.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.e2e import losses
from tests.e2e.conftest import Team
from tests.e2e.history import History
from tests.e2e.queues import Queues, conditions, place

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]

INPUTS = 4
VICTIMS = ("low-0", "low-1")


@dataclass
class Seen:
    """What was there when the GPUs were taken; `returned`: the victims' places once they waited again."""

    finished: dict[str, set[int]]
    urgent_waits: list[str]
    returned: set[tuple[int | None, int | None]]


@pytest.fixture(scope="module")
def queues(team: Team) -> Iterator[Queues]:
    made = Queues(team)
    yield made
    made.close()


def has_begun(team: Team, name: str) -> bool:
    return bool(team.status(name).get("input_progress", {}).get("completed"))


@pytest.fixture(scope="module")
def seen(team: Team, history: History, queues: Queues, priorities: Callable[[str], str]) -> Seen:
    losses.write_lines(team, INPUTS)
    gpu = {"cpu": "100m", "memory": "256Mi", "gpu": {"count": 1}}
    losses.misbehaving(team, "gated", always=losses.BEHIND_A_GATE, resources=gpu)
    losses.misbehaving(team, "urgent", always=losses.behind_gate("urgent"), resources=gpu)
    queue = queues.make("gpus", quota={"nvidia.com/gpu": "2"}, preemption="LowerPriority")
    team.apply("undisturbed", losses.job("line-count", 1, count=INPUTS))
    middle = {"priority_class_name": priorities("middle")}
    for name in VICTIMS:
        team.apply(name, losses.job("gated", 1, 0, INPUTS) | {"queue": queue} | middle)
    team.apply("bystander", losses.job("gated", 1, 0, INPUTS) | {"priority_class_name": priorities("low")})
    for name in (*VICTIMS, "bystander"):
        team.until(f"one input of {name} is done", partial(has_begun, team, name))
    finished = {name: losses.finished(team, name) for name in VICTIMS}
    losses.intruder(team, "intruder", priorities("high"), gpus=2)
    team.apply(
        "urgent", losses.job("urgent", 2, 0, INPUTS) | {"queue": queue, "priority_class_name": priorities("high")}
    )
    team.until("the urgent job runs", lambda: team.status("urgent").get("status") == "RUNNING")
    team.until("the victims wait again", lambda: {place(team.status(v)) for v in VICTIMS} == {(1, 2), (2, 2)})
    returned = {place(team.status(name)) for name in VICTIMS}
    team.until("the bystander lost its GPU", lambda: "PREEMPTED" in history.states("bystander"))
    team.run("delete", "pod", "intruder")
    losses.open_gate(team, "urgent")
    losses.open_gate(team)
    for name in ("urgent", *VICTIMS, "bystander", "undisturbed"):
        team.finished(name)
    return Seen(finished, history.reasons("urgent"), returned)


def event_of(team: Team, name: str) -> set[tuple[str, str]]:
    found = team.kubectl.get("events", f"--namespace={team.namespace}", f"--field-selector=involvedObject.name={name}")
    return {(event["type"], event["reason"]) for event in found["items"] if event["reason"] == "Preempted"}


class TestPreemptor:
    def test_it_says_what_it_waits_for(self, seen: Seen) -> None:
        assert seen.urgent_waits == ["WaitingForPreemption"]

    def test_it_loses_nothing(self, team: Team, seen: Seen) -> None:
        status = team.status("urgent")
        assert (status["status"], status["retry_count"], status["preemption_count"]) == ("COMPLETED", 0, 0)


@pytest.mark.parametrize("name", VICTIMS)
class TestVictim:
    def test_it_gives_way_and_comes_back_by_itself(self, history: History, seen: Seen, name: str) -> None:
        states = history.states(name)
        assert states[states.index("RUNNING") :] == ["RUNNING", "PREEMPTED", "ADMITTED", "RUNNING", "COMPLETED"]

    def test_it_counts_once(self, team: Team, seen: Seen, name: str) -> None:
        status = team.status(name)
        assert (status["preemption_count"], status["retry_count"]) == (1, 0)

    def test_it_looks_as_if_the_scheduler_had_done_it(
        self, team: Team, history: History, seen: Seen, name: str
    ) -> None:
        ours, theirs = (history.first(job, "PREEMPTED") for job in (name, "bystander"))
        assert conditions(ours) == conditions(theirs)
        assert (ours["preemption_count"], ours["retry_count"]) == (theirs["preemption_count"], theirs["retry_count"])
        assert event_of(team, name) == event_of(team, "bystander") == {("Warning", "Preempted")}

    def test_it_says_who_has_its_quota(self, team: Team, history: History, seen: Seen, name: str) -> None:
        assert f"{team.namespace}/urgent" in history.first(name, "PREEMPTED")["message"]

    def test_no_finished_input_is_repeated(self, history: History, seen: Seen, name: str) -> None:
        assert history.attempts(name) == {0: [0, 1]}
        assert seen.finished[name]
        assert seen.finished[name].isdisjoint(history.inputs(name, 0, 1))

    def test_its_results_are_those_of_an_undisturbed_run(self, team: Team, seen: Seen, name: str) -> None:
        assert losses.outputs(team, name) == losses.outputs(team, "undisturbed")


def test_no_more_gpus_were_held_than_the_quota_has(history: History, seen: Seen) -> None:
    """From each pod's creation to its end, by the API server's own clock."""
    jobs = (*VICTIMS, "urgent")
    pods = [pod for job in jobs for pod in history.pods(job).values()]
    changes = [change for pod in pods for change in _held(pod)]
    held = most = 0
    for _, change in sorted(changes):
        held += change
        most = max(most, held)
    assert most == 2


def _held(pod: Any) -> list[tuple[str, int]]:
    """When it began to count, and when it did no more: its end, which comes before its deletion."""
    (status,) = pod["status"]["containerStatuses"]
    return [(pod["metadata"]["creationTimestamp"], 1), (status["state"]["terminated"]["finishedAt"], -1)]
