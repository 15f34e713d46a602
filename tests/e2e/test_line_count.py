"""Whole jobs of a small real worker on the real node, seen through kubectl only."""

import json
from typing import Any

import pytest

from tests.demo.installation import NAMESPACE
from tests.e2e.conftest import Team, line_count

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

OPERATOR = ("deployment/batch-operator", f"--namespace={NAMESPACE}")


def job(count: int, parallelism: int = 2, key: str = "line-count", **config: Any) -> dict[str, Any]:
    return {
        "pipeline_type": "batch",
        "pipeline_key": key,
        "inputs": {"worker.files": [{"file_id": f"lines_{number}.csv"} for number in range(count)]},
        "parameters": {"worker": {"parallelism": parallelism, "config": config}},
    }


@pytest.fixture(scope="module", autouse=True)
def lines(team: Team) -> None:
    for number in range(8):
        team.write(f"lines_{number}.csv", "x\n" * (number + 1))


def counted(team: Team, name: str) -> dict[str, str]:
    """Result of each input: the second line of its only part."""
    return {
        path.parent.name: path.read_text().splitlines()[1].split(",")[1]
        for path in team.outputs(name).glob("*/*.csv")
        if (path.parent / "commit.json").exists()
    }


def test_a_job_from_apply_to_results(team: Team) -> None:
    team.apply("whole", job(8))
    status = team.finished("whole")
    assert status["status"] == "COMPLETED"
    assert status["input_progress"] == {"pending": 0, "processing": 0, "completed": 8, "failed": 0}
    assert status["progress"] == "8/8"
    assert counted(team, "whole") == {str(number): str(number + 1) for number in range(8)}
    assert {"started_at", "completed_at", "created_at", "updated_at", "outputs_url"} <= status.keys()
    assert {"error", "failed_at"}.isdisjoint(status)
    events = team.run("get", "events", "--field-selector=involvedObject.kind=BatchJob,involvedObject.name=whole")
    assert "completed: 8 of 8 inputs" in events


def test_progress_moves_while_the_job_runs(team: Team) -> None:
    team.apply("slow", job(6, seconds_per_input=2))
    seen: list[dict[str, int]] = []

    def watch() -> bool:
        status = team.status("slow")
        if (progress := status.get("input_progress")) is not None and progress not in seen:
            seen.append(progress)
        return bool(status.get("status") == "COMPLETED")

    team.until("the slow job completes", watch)
    assert all(sum(progress.values()) == 6 for progress in seen)
    assert [p["completed"] for p in seen] == sorted(p["completed"] for p in seen), "completed only grows"
    assert any(0 < p["completed"] < 6 for p in seen), f"only {seen} was seen"
    assert any(p["processing"] for p in seen)


def test_a_worker_that_fails_fails_the_job_and_ends_its_siblings(team: Team) -> None:
    spec = job(4, seconds_per_input=60, fail_with_exit_code=7) | {"policy": {"max_retries": 0}}
    team.apply("failing", spec)
    status = team.finished("failing")
    assert (status["status"], status["retry_count"]) == ("FAILED", 0)
    assert (status["error"]["code"], status["error"]["exit_code"]) == ("RETRIES_EXHAUSTED", 7)
    assert "kubectl logs" in status["error"]["suggestion"]
    assert all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in team.pods("failing"))


def test_an_unknown_pipeline_waits_and_goes_on_once_it_is_published(team: Team) -> None:
    team.apply("early", job(1, key="published-later"))
    team.run("wait", "--for=condition=Stalled", "batchjob/early", "--timeout=30s")
    status = team.status("early")
    assert status["status"] == "PENDING"
    assert status["error"]["code"] == "INVALID_REQUEST"
    assert status["error"]["message"] == "pipeline_key 'published-later' not found in registry"
    team.apply_object("Pipeline", "published-later", line_count(team.image) | {"key": "published-later"})
    assert team.finished("early")["status"] == "COMPLETED"


def test_a_configuration_that_nests_without_end_is_told_so_and_stops_nobody(team: Team) -> None:
    deep = job(1)
    text = json.dumps(
        {"apiVersion": "batch-operator.dev/v1alpha1", "kind": "BatchJob", "metadata": {"name": "deep"}, "spec": deep}
    )
    path = team.place.root / "deep.json"
    path.write_text(text.replace('"config": {}', '"config": ' + '{"x":' * 3000 + "{}" + "}" * 3000))
    team.run("create", "-f", str(path))
    team.run("wait", "--for=condition=Finished", "batchjob/deep", "--timeout=30s")
    # not as JSON: Python's own reader gives up on the spec
    shown = team.run("get", "batchjob", "deep", "-o", "jsonpath={.status.error.code}: {.status.error.message}")
    assert shown.startswith("INVALID_REQUEST: ")
    assert "nests deeper" in shown
    team.apply("after-deep", job(1))
    assert team.finished("after-deep")["status"] == "COMPLETED"
    team.run("delete", "batchjob", "deep")


def test_a_missing_file_fails_its_input_only(team: Team) -> None:
    spec = job(3) | {"policy": {"max_failed_inputs": 1}}
    spec["inputs"]["worker.files"][1] = {"file_id": "not/there.csv"}
    team.apply("missing", spec)
    status = team.finished("missing")
    assert status["status"] == "COMPLETED"
    assert status["input_progress"] == {"pending": 0, "processing": 0, "completed": 2, "failed": 1}
    (failure,) = status["failures"]
    assert (failure["input"], failure["file_id"]) == (1, "not/there.csv")
    assert failure["message"] != "the worker gave no reason"


def test_kill_9_of_the_operator_in_mid_job_changes_nothing(team: Team) -> None:
    team.apply("killed", job(6, seconds_per_input=2))
    team.until("the job runs", lambda: team.status("killed").get("status") == "RUNNING")
    pods = {pod["metadata"]["uid"] for pod in team.pods("killed")}
    # no grace: the kubelet sends SIGKILL
    selector = "-lapp.kubernetes.io/name=batch-operator"
    team.kubectl.run("delete", "pod", "--grace-period=0", "--force", selector, f"--namespace={NAMESPACE}")
    status = team.finished("killed")
    assert status["status"] == "COMPLETED"
    assert status["input_progress"] == {"pending": 0, "processing": 0, "completed": 6, "failed": 0}
    assert {pod["metadata"]["uid"] for pod in team.pods("killed")} == pods
    assert len(counted(team, "killed")) == 6


@pytest.fixture
def operator_stopped(team: Team) -> Any:
    team.kubectl.run("scale", *OPERATOR, "--replicas=0")
    team.kubectl.run("wait", "pod", "--for=delete", "-lapp.kubernetes.io/name=batch-operator", OPERATOR[1])
    yield
    team.kubectl.run("scale", *OPERATOR, "--replicas=1")
    team.kubectl.run("wait", "--for=condition=Available", *OPERATOR, "--timeout=60s", timeout_seconds=70)


def test_deleting_a_job_removes_its_pods(team: Team) -> None:
    team.apply("deleted", job(4, seconds_per_input=60))
    team.until("the job runs", lambda: team.status("deleted").get("status") == "RUNNING")
    team.run("delete", "batchjob", "deleted")
    team.until("its pods are gone", lambda: not team.pods("deleted"))


def test_deleting_a_job_removes_its_pods_also_with_the_operator_stopped(team: Team, request: Any) -> None:
    team.apply("orphaned", job(4, seconds_per_input=60))
    team.until("the job runs", lambda: team.status("orphaned").get("status") == "RUNNING")
    request.getfixturevalue("operator_stopped")
    team.run("delete", "batchjob", "orphaned")
    team.until("its pods are gone", lambda: not team.pods("orphaned"))


def test_what_was_applied_while_the_operator_was_down_runs_once_it_is_up(team: Team) -> None:
    team.kubectl.run("scale", *OPERATOR, "--replicas=0")
    team.kubectl.run("wait", "pod", "--for=delete", "-lapp.kubernetes.io/name=batch-operator", OPERATOR[1])
    team.apply("patient", job(2))
    team.kubectl.run("scale", *OPERATOR, "--replicas=1")
    assert team.finished("patient")["status"] == "COMPLETED"
