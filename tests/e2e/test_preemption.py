"""The scheduler takes GPUs from running workers for pods of a higher PriorityClass, and gives them back.

The real node has 4: job `one` has 1, job `three` has 3. Two intruders take one of each.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.e2e import losses
from tests.e2e.conftest import Team
from tests.e2e.history import History

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

INPUTS = 6


@dataclass
class Seen:
    """What was there when the GPUs were taken."""

    finished_by_one: set[int]
    parts_of_one: dict[str, int]
    parts_of_three: dict[str, int]
    one_without_room: str


@pytest.fixture(scope="module")
def seen(team: Team, history: History, priorities: Callable[[str], str]) -> Seen:
    losses.write_lines(team, INPUTS)
    gpu = {"cpu": "100m", "memory": "256Mi", "gpu": {"count": 1}}
    losses.misbehaving(team, "gpu-lines", always=losses.BEHIND_A_GATE, resources=gpu)
    team.apply("undisturbed", losses.job("line-count", 2, count=INPUTS))
    team.apply("one", losses.job("gpu-lines", 1, 0, INPUTS) | {"priority_class_name": priorities("low")})
    team.apply("three", losses.job("gpu-lines", 3, 0, INPUTS) | {"priority_class_name": priorities("middle")})

    def begun(name: str, parallelism: int) -> bool:
        status = team.status(name)
        running = [pod for pod in team.pods(name) if pod["status"]["phase"] == "Running"]
        return len(running) == parallelism and status["input_progress"]["completed"] > 0

    team.until("one input of job one is done", lambda: begun("one", 1))
    parts_of_one = losses.parts(team, "one")
    finished_by_one = losses.finished(team, "one")
    losses.intruder(team, "takes-one", priorities("high"), gpus=1)
    team.until("job one was preempted", lambda: "PREEMPTED" in history.states("one"))
    team.until("one input of job three is done", lambda: begun("three", 3))
    parts_of_three = losses.parts(team, "three")
    losses.intruder(team, "takes-one-of-three", priorities("high"), gpus=1)
    team.until("job three has lost a pod", lambda: team.status("three").get("preemption_count") == 1)
    team.until("job one waits for a GPU", lambda: "Insufficient nvidia.com/gpu" in team.status("one")["message"])
    one_without_room = team.status("one")["status"]
    team.run("delete", "pod", "takes-one", "takes-one-of-three")
    team.until("job one is back", lambda: begun("one", 1))
    team.until("job three is back", lambda: begun("three", 3))
    losses.open_gate(team)
    for name in ("one", "three", "undisturbed"):
        team.finished(name)
    return Seen(finished_by_one, parts_of_one, parts_of_three, one_without_room)


class TestTheOnlyPod:
    def test_the_job_is_preempted_waits_and_comes_back_by_itself(self, history: History, seen: Seen) -> None:
        states = history.states("one")
        assert states[states.index("RUNNING") :] == ["RUNNING", "PREEMPTED", "ADMITTED", "RUNNING", "COMPLETED"]
        assert seen.one_without_room == "ADMITTED"

    def test_it_counts_as_a_preemption(self, team: Team, seen: Seen) -> None:
        status = team.status("one")
        assert (status["preemption_count"], status["retry_count"]) == (1, 0)
        assert status["input_progress"] == {"pending": 0, "processing": 0, "completed": INPUTS, "failed": 0}

    def test_the_next_round_gets_the_open_inputs_only(self, history: History, seen: Seen) -> None:
        assert history.attempts("one") == {0: [0, 1]}
        assert seen.finished_by_one
        assert seen.finished_by_one.isdisjoint(history.inputs("one", 0, 1))


class TestOneOfThree:
    def test_the_job_goes_on_running(self, history: History, seen: Seen) -> None:
        states = history.states("three")
        assert states[states.index("RUNNING") :] == ["RUNNING", "COMPLETED"]

    def test_only_the_lost_index_comes_back(self, team: Team, history: History, seen: Seen) -> None:
        attempts = sorted(history.attempts("three").values())
        assert attempts == [[0], [0], [0, 1]]
        status = team.status("three")
        assert (status["preemption_count"], status["retry_count"]) == (1, 0)


@pytest.mark.parametrize("name", ["one", "three"])
class TestResults:
    def test_they_are_those_of_an_undisturbed_run(self, team: Team, seen: Seen, name: str) -> None:
        assert losses.outputs(team, name) == losses.outputs(team, "undisturbed")

    def test_at_most_one_part_was_made_twice(self, team: Team, seen: Seen, name: str) -> None:
        before = seen.parts_of_one if name == "one" else seen.parts_of_three
        after = losses.parts(team, name)
        assert before
        assert len([path for path, inode in before.items() if after[path] != inode]) <= 1
