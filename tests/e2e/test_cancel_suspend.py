"""Jobs that people and clocks stop: cancel, suspend and resume, timeouts, time to live. All run at the same time."""

from collections.abc import Callable

import pytest

from tests.e2e import losses
from tests.e2e.conftest import Team
from tests.e2e.history import History

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

INPUTS = 4
CANCEL = "batch-operator.dev/cancel-requested-at"
RETRY = "batch-operator.dev/retry-requested-at"
NOWHERE = {"kubernetes.io/hostname": "no-such-node"}


@pytest.fixture(scope="module")
def jobs(team: Team, history: History) -> None:
    """Applied all at once, so that their waits pass together."""
    losses.write_lines(team, INPUTS)
    losses.pipeline(team, "nowhere", node_selector=NOWHERE)
    losses.misbehaving(team, "slow", losses.SLOW_AFTER_ITS_FIRST_INPUT)
    team.apply("cancelled", losses.job("slow", 2, 0, INPUTS))
    team.apply("suspended", losses.job("slow", 2, 0, INPUTS))
    team.apply("cancelled-early", losses.job("nowhere", 2, 0, INPUTS))
    team.apply("suspended-early", losses.job("line-count", 2, 0, INPUTS) | {"suspend": True})
    team.apply("runs-too-long", losses.job("line-count", 2, 60, INPUTS, run_timeout_seconds=5))
    team.apply("never-starts", losses.job("nowhere", 2, 0, INPUTS, start_timeout_seconds=2))
    team.apply("pods-expire", losses.job("line-count", 2, 0, INPUTS, ttl_seconds_after_finished=1))
    team.apply("expires", losses.job("line-count", 2, 0, INPUTS, ttl_seconds_after_finished=1, ttl_deletes_job=True))


@pytest.fixture(scope="module")
def all_but_one(team: Team, jobs: None) -> Callable[[str], None]:
    """Waits until only input 1 is open, on which the first pod takes a minute."""

    def wait(name: str) -> None:
        team.until(f"{name} has done 3", lambda: team.status(name).get("input_progress", {}).get("completed") == 3)

    return wait


def lives(team: Team, name: str) -> list[str]:
    return [p["metadata"]["name"] for p in team.pods(name) if p["status"]["phase"] in ("Pending", "Running")]


def test_suspend_ends_its_pods_and_resume_goes_on_with_what_is_left(
    team: Team, history: History, all_but_one: Callable[[str], None]
) -> None:
    all_but_one("suspended")
    team.run("patch", "batchjob", "suspended", "--type=merge", '-p={"spec": {"suspend": true}}')
    team.run("wait", "--for=condition=Suspended", "batchjob/suspended", "--timeout=60s")
    status = team.status("suspended")
    assert status["status"] == "PENDING"
    assert not lives(team, "suspended")
    assert losses.finished(team, "suspended") == {0, 2, 3}
    before = losses.parts(team, "suspended")
    team.run("patch", "batchjob", "suspended", "--type=merge", '-p={"spec": {"suspend": null}}')
    status = team.finished("suspended")
    assert status["status"] == "COMPLETED"
    assert (status["retry_count"], status["preemption_count"]) == (0, 0)
    assert history.attempts("suspended") == {0: [0, 1], 1: [0]}
    assert history.inputs("suspended", 0, 1) == {1}
    after = losses.parts(team, "suspended")
    assert not [path for path, inode in before.items() if after[path] != inode], "a part was made twice"


def test_a_job_that_is_made_suspended_has_no_pods_until_it_is_resumed(team: Team, history: History, jobs: None) -> None:
    team.run("wait", "--for=condition=Suspended", "batchjob/suspended-early", "--timeout=30s")
    assert history.attempts("suspended-early") == {}
    team.run("patch", "batchjob", "suspended-early", "--type=merge", '-p={"spec": {"suspend": false}}')
    assert team.finished("suspended-early")["status"] == "COMPLETED"


def test_cancel_ends_its_pods_keeps_what_is_done_and_a_retry_opens_it_again(
    team: Team, history: History, all_but_one: Callable[[str], None]
) -> None:
    all_but_one("cancelled")
    team.run("annotate", "batchjob", "cancelled", f"{CANCEL}=now")
    status = team.finished("cancelled")
    assert status["status"] == "CANCELLED"
    assert {"cancelled_at"} <= status.keys()
    assert not lives(team, "cancelled")
    assert status["input_progress"]["completed"] == 3
    team.run("annotate", "batchjob", "cancelled", f"{RETRY}=now")
    team.run("wait", "--for=jsonpath={.status.status}=COMPLETED", "batchjob/cancelled", "--timeout=60s")
    status = team.status("cancelled")
    assert (status["retry_count"], status["preemption_count"]) == (1, 0)
    assert status["input_progress"]["completed"] == INPUTS


def test_cancel_of_a_job_whose_pods_have_no_place(team: Team, jobs: None) -> None:
    team.until("it is admitted", lambda: team.status("cancelled-early").get("status") == "ADMITTED")
    team.run("annotate", "batchjob", "cancelled-early", f"{CANCEL}=now")
    assert team.finished("cancelled-early")["status"] == "CANCELLED"
    assert not lives(team, "cancelled-early")


def test_a_run_timeout(team: Team, jobs: None) -> None:
    status = team.finished("runs-too-long")
    assert (status["status"], status["error"]["code"]) == ("FAILED", "RUN_TIMEOUT")
    assert not lives(team, "runs-too-long")


def test_the_third_start_timeout_fails_the_job(team: Team, history: History, jobs: None) -> None:
    status = team.finished("never-starts")
    assert (status["status"], status["error"]["code"]) == ("FAILED", "START_TIMEOUT")
    assert history.states("never-starts") == ["ADMITTED", "PENDING", "ADMITTED", "PENDING", "ADMITTED", "FAILED"]
    assert (status["retry_count"], status["preemption_count"]) == (0, 0)


def test_the_time_to_live_takes_the_pods_and_leaves_job_and_results(team: Team, jobs: None) -> None:
    assert team.finished("pods-expire")["status"] == "COMPLETED"
    team.until("its pods are gone", lambda: not team.pods("pods-expire"))
    maps = "-lbatch-operator.dev/job-name=pods-expire"
    team.until("its ConfigMap is gone", lambda: "pods-expire" not in team.run("get", "configmaps", maps))
    assert team.status("pods-expire")["status"] == "COMPLETED"
    assert len(losses.finished(team, "pods-expire")) == INPUTS


def test_the_time_to_live_takes_the_job_where_it_is_to(team: Team, history: History, jobs: None) -> None:
    team.until("the job is gone", lambda: "expires" not in team.run("get", "batchjobs", "-o", "name").split("/"))
    assert history.states("expires")[-1] == "COMPLETED"
