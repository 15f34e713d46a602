"""Quota, and what people do to a Queue that has jobs in it: `kubectl get bj,bq` tells who runs, who waits, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e import losses
from tests.e2e.conftest import Team
from tests.e2e.history import History
from tests.e2e.queues import Queues, conditions, place, rows, waits

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

INPUTS = 3
ONE_POD = {"pods": "1"}


@pytest.fixture(scope="module")
def queues(team: Team, history: History) -> Iterator[Queues]:
    """And a pipeline behind a gate for each of the stories below."""
    losses.write_lines(team, INPUTS)
    for gate in ("quota", "gone", "stopped"):
        losses.misbehaving(team, gate, always=losses.behind_gate(gate))
    made = Queues(team)
    yield made
    made.close()


def job(key: str, queue: str, parallelism: int = 1, **more: Any) -> dict[str, Any]:
    return losses.job(key, parallelism, 0, INPUTS) | {"queue": queue} | more


def runs(team: Team, name: str) -> bool:
    return bool(team.status(name).get("status") == "RUNNING")


@dataclass
class Waiting:
    """While `first` had the only place; and once there was one more."""

    second: Any
    third: Any
    too_large: Any
    asleep: Any
    pods: list[Any]
    jobs: dict[str, dict[str, str]]
    queue: dict[str, str]
    third_alone: Any
    first_beside_second: str


@pytest.fixture(scope="module")
def seen(team: Team, queues: Queues) -> Waiting:
    queue = queues.make("quota", quota=ONE_POD)
    team.apply("first", job("quota", queue))
    team.until("the first job runs", lambda: runs(team, "first"))
    team.apply("second", job("quota", queue))
    team.apply("too-large", job("quota", queue, 3))
    team.apply("asleep", job("quota", queue, suspend=True))
    team.until("the second waits", lambda: place(team.status("second")) == (1, 1))
    losses.into_the_next_second(team, "second")
    team.apply("third", job("quota", queue))
    team.until("the third waits behind it", lambda: place(team.status("third")) == (2, 2))
    team.until("the second is told of it", lambda: place(team.status("second")) == (1, 2))
    team.until("the too large one is judged", lambda: bool(waits(team.status("too-large"))))
    team.until("the queue says so", lambda: queues.status("quota").get("pending") == 2)
    names = ("second", "third", "too-large", "asleep")
    second, third, too_large, asleep = (team.status(name) for name in names)
    pods = [pod for name in names for pod in team.pods(name)]
    jobs = rows(team.run("get", "batchjobs", "-o", "wide"))
    shown = rows(team.run("get", "bq", queue, "-o", "wide"))[queue]
    queues.change("quota", quota={"pods": "2"})
    team.until("the second runs", lambda: runs(team, "second"))
    beside = team.status("first")["status"]
    team.until("the third is first in line", lambda: place(team.status("third")) == (1, 1))
    third_alone = team.status("third")
    losses.open_gate(team, "quota")
    return Waiting(second, third, too_large, asleep, pods, jobs, shown, third_alone, beside)


class TestQuotaForOne:
    def test_who_waits_says_what_is_missing_and_who_has_it(self, team: Team, seen: Waiting) -> None:
        assert (seen.second["status"], waits(seen.second)) == ("PENDING", "WaitingForQuota")
        assert f"1 pods missing (in use: {team.namespace} 1)" in seen.second["message"]
        assert (seen.second["retry_count"], seen.second["preemption_count"]) == (0, 0)

    def test_nobody_who_waits_has_a_pod(self, seen: Waiting) -> None:
        assert seen.pods == []

    def test_what_could_never_fit_is_stalled_and_in_nobody_s_way(self, seen: Waiting) -> None:
        assert conditions(seen.too_large)["Stalled"] == ("True", "ExceedsMaxQuota")
        assert waits(seen.too_large) == "ExceedsMaxQuota"
        assert "asks for 3 pods" in seen.too_large["message"]
        assert place(seen.too_large) == (None, None)

    def test_who_is_suspended_has_no_place(self, seen: Waiting) -> None:
        assert place(seen.asleep) == (None, None)
        assert waits(seen.asleep) == "Suspended"

    def test_kubectl_shows_who_runs_who_waits_where_and_why(self, team: Team, seen: Waiting) -> None:
        found = {name: (row["STATUS"], row["POS"], row["ADMISSION"]) for name, row in seen.jobs.items()}
        assert found == {
            "first": ("RUNNING", "", "Admitted"),
            "second": ("PENDING", "1", "WaitingForQuota"),
            "third": ("PENDING", "2", "WaitingForQuota"),
            "too-large": ("PENDING", "", "ExceedsMaxQuota"),
            "asleep": ("PENDING", "", "Suspended"),
        }
        assert "1 pods missing" in seen.jobs["second"]["MESSAGE"]
        assert (seen.queue["PENDING"], seen.queue["ADMITTED"]) == ("2", "1")
        assert (seen.queue["USAGE"], seen.queue["READY"]) == ("1/1 pods", "True")
        assert seen.queue["NEXT"].startswith(f"{team.namespace}/second")

    def test_more_quota_lets_the_next_one_go(self, seen: Waiting) -> None:
        assert seen.first_beside_second == "RUNNING"
        assert waits(seen.third_alone) == "WaitingForQuota"

    def test_who_waits_goes_on_by_himself(self, team: Team, history: History, seen: Waiting) -> None:
        for name in ("first", "second", "third"):
            assert team.finished(name)["status"] == "COMPLETED"
            assert "queue_position" not in team.status(name)
        assert history.states("third") == ["PENDING", "ADMITTED", "RUNNING", "COMPLETED"]

    def test_what_was_too_large_goes_once_the_quota_is_large_enough(
        self, team: Team, queues: Queues, seen: Waiting
    ) -> None:
        queues.change("quota", quota={"pods": "3"})
        status = team.finished("too-large")
        assert status["status"] == "COMPLETED"
        assert conditions(status)["Stalled"][0] == "False"


@pytest.fixture(scope="module")
def lost(team: Team, queues: Queues) -> dict[str, Any]:
    """By job: its status once the Queue was deleted; then there is one again."""
    queue = queues.make("gone", quota=ONE_POD)
    team.apply("astray", job("gone", queues.name("later")))
    team.apply("holds", job("gone", queue))
    team.until("a job runs", lambda: runs(team, "holds"))
    team.apply("remains", job("gone", queue))
    team.until("another one waits", lambda: waits(team.status("remains")) == "WaitingForQuota")
    queues.delete("gone")
    team.until("it waits for a queue", lambda: waits(team.status("remains")) == "QueueNotFound")
    found = {name: team.status(name) for name in ("astray", "holds", "remains")}
    queues.make("gone", quota=ONE_POD)
    queues.make("later")
    team.until("it waits for quota again", lambda: waits(team.status("remains")) == "WaitingForQuota")
    losses.open_gate(team, "gone")
    return found


class TestQueueThatIsNotThere:
    @pytest.mark.parametrize("name", ["astray", "remains"])
    def test_who_waits_is_stalled(self, lost: dict[str, Any], name: str) -> None:
        assert lost[name]["status"] == "PENDING"
        assert conditions(lost[name])["Stalled"] == ("True", "QueueNotFound")
        assert "there is no Queue" in lost[name]["message"]
        assert place(lost[name]) == (None, None)

    def test_who_runs_runs_on(self, lost: dict[str, Any]) -> None:
        assert lost["holds"]["status"] == "RUNNING"

    @pytest.mark.parametrize("name", ["astray", "holds", "remains"])
    def test_all_go_on_once_it_is_there(self, team: Team, lost: dict[str, Any], name: str) -> None:
        status = team.finished(name)
        assert (status["status"], status["preemption_count"]) == ("COMPLETED", 0)


@pytest.fixture(scope="module")
def held(team: Team, queues: Queues) -> dict[str, Any]:
    """By job: its status while the queues stood still; then they go on."""
    team.apply("drained", job("stopped", queues.make("drained")))
    team.apply("held", job("stopped", queues.make("held", stop="Hold")))
    team.until("a job has begun", lambda: bool(losses.finished(team, "drained")))
    queues.change("drained", stop="HoldAndDrain")
    team.until("it gave way", lambda: waits(team.status("drained")) == "QueueStopped")
    team.until("the other is told", lambda: waits(team.status("held")) == "QueueStopped")
    found = {name: team.status(name) for name in ("drained", "held")}
    found["pods"] = [pod for name in ("drained", "held") for pod in team.pods(name) if pod["status"]]
    found["queue"] = queues.status("held")
    losses.open_gate(team, "stopped")
    for short in ("drained", "held"):
        queues.change(short, stop="None")
    return found


class TestStoppedQueue:
    def test_it_admits_nobody(self, held: dict[str, Any]) -> None:
        assert held["held"]["status"] == "PENDING"
        assert place(held["held"]) == (1, 1)
        assert conditions(held["queue"])["Ready"][0] == "False"

    def test_drained_it_preempts_who_runs(self, history: History, held: dict[str, Any]) -> None:
        assert (held["drained"]["status"], held["drained"]["preemption_count"]) == ("PREEMPTED", 1)
        assert not [pod for pod in held["pods"] if pod["status"]["phase"] in ("Pending", "Running")]

    @pytest.mark.parametrize(("name", "preemptions"), [("drained", 1), ("held", 0)])
    def test_both_go_on_once_it_does(self, team: Team, held: dict[str, Any], name: str, preemptions: int) -> None:
        status = team.finished(name)
        assert (status["status"], status["preemption_count"]) == ("COMPLETED", preemptions)
