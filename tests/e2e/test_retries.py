"""What workers' exit codes lead to, and a request to retry. All jobs run at the same time."""

from typing import Any

import pytest

from tests.e2e import losses
from tests.e2e.conftest import Team
from tests.e2e.history import History

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

INPUTS = 4
RETRY = "batch-operator.dev/retry-requested-at"
NO_BACKOFF = {"backoff_seconds": 0}


def failing(code: int, attempts: int = -1, after: int = 1, parallelism: int = 1, **policy: Any) -> dict[str, Any]:
    """A job whose pods end with `code` after so many inputs, in the first `attempts` (-1: in all)."""
    spec = losses.job("line-count", parallelism, 0, INPUTS, **{**NO_BACKOFF, **policy})
    spec["parameters"]["worker"]["config"] = {
        "fail_with_exit_code": code,
        "fail_after_inputs": after,
        "fail_until_attempt": attempts,
    }
    return spec


def with_a_missing_file(**policy: Any) -> dict[str, Any]:
    spec = losses.job("line-count", 2, 0, INPUTS, **policy)
    spec["inputs"]["worker.files"][1] = {"file_id": "not/there.csv"}
    return spec


JOBS = {
    "exhausted": failing(7, after=0, max_retries=1),
    "bit-by-bit": failing(7),
    "no-retries": failing(7, max_retries=0),
    "per-index": failing(7, attempts=1, after=0, parallelism=2, max_retries=1),
    "bad-config": failing(64),
    "bad-data": failing(65, after=3),
    "stops-unasked": failing(75, attempts=1),
    "one-bad-tolerated": with_a_missing_file(max_failed_inputs=1),
    "one-bad": with_a_missing_file(),
}


@pytest.fixture(scope="module")
def ended(team: Team, history: History) -> dict[str, Any]:
    """Job -> its status once it has ended."""
    losses.write_lines(team, INPUTS)
    for name, spec in JOBS.items():
        team.apply(name, spec)
    return {name: team.finished(name) for name in JOBS}


def summary(status: dict[str, Any]) -> tuple[Any, ...]:
    counts = status["input_progress"]
    return (
        status["status"],
        status.get("error", {}).get("code"),
        status["retry_count"],
        counts["completed"],
        counts["failed"],
    )


@pytest.mark.parametrize(
    ("name", "state", "code", "retries", "completed", "failed"),
    [
        pytest.param("exhausted", "FAILED", "RETRIES_EXHAUSTED", 1, 0, 0, id="max_retries 1 and two failures"),
        pytest.param("bit-by-bit", "COMPLETED", None, 3, 4, 0, id="each attempt gets one input further"),
        pytest.param("no-retries", "FAILED", "RETRIES_EXHAUSTED", 0, 1, 0, id="max_retries 0"),
        pytest.param("per-index", "COMPLETED", None, 2, 4, 0, id="max_retries 1 and two indexes that fail once"),
        pytest.param("bad-config", "FAILED", "INVALID_REQUEST", 0, 1, 0, id="64 fails the job at once"),
        pytest.param("bad-data", "FAILED", "INPUTS_FAILED", 0, 3, 1, id="65 is judged by the inputs"),
        pytest.param("stops-unasked", "COMPLETED", None, 1, 4, 0, id="75 without SIGTERM is a failure"),
        pytest.param("one-bad-tolerated", "COMPLETED", None, 0, 3, 1, id="max_failed_inputs 1"),
        pytest.param("one-bad", "FAILED", "INPUTS_FAILED", 0, 3, 1, id="max_failed_inputs 0"),
    ],
)
def test_how_it_ends(
    ended: dict[str, Any], name: str, state: str, code: str | None, retries: int, completed: int, failed: int
) -> None:
    assert summary(ended[name]) == (state, code, retries, completed, failed)
    assert ended[name]["preemption_count"] == 0


def test_attempts_get_the_open_inputs_only(ended: dict[str, Any], history: History) -> None:
    blocks = [sorted(history.inputs("bit-by-bit", 0, attempt)) for attempt in range(4)]
    assert blocks == [[0, 1, 2, 3], [1, 2, 3], [2, 3], [3]]


def test_a_failed_job_owns_no_living_pod(ended: dict[str, Any], team: Team) -> None:
    for name in ("exhausted", "bad-config"):
        assert {pod["status"]["phase"] for pod in team.pods(name)} <= {"Succeeded", "Failed"}


class TestARequestToRetry:
    def test_it_gives_a_failed_job_its_limits_anew_and_keeps_what_is_done(
        self, ended: dict[str, Any], team: Team, history: History
    ) -> None:
        team.run("annotate", "batchjob", "no-retries", f"{RETRY}=once")
        team.until("it failed again", lambda: history.states("no-retries").count("FAILED") == 2)
        status = team.status("no-retries")
        assert (status["retry_count"], status["input_progress"]["completed"]) == (1, 2)
        assert 0 not in history.inputs("no-retries", 0, 1)

    def test_a_value_counts_once(self, team: Team, history: History) -> None:
        team.run("annotate", "batchjob", "no-retries", f"{RETRY}=once", "example.org/touched=yes", "--overwrite")
        team.apply("later", losses.job("line-count", 1, 0, 1))
        team.finished("later")
        assert history.states("no-retries").count("FAILED") == 2

    def test_a_mended_input_is_processed(self, ended: dict[str, Any], team: Team) -> None:
        team.write("not/there.csv", "x\n")
        team.run("annotate", "batchjob", "one-bad", f"{RETRY}=mended")
        team.run("wait", "--for=jsonpath={.status.status}=COMPLETED", "batchjob/one-bad", "--timeout=60s")
        assert summary(team.status("one-bad")) == ("COMPLETED", None, 1, 4, 0)

    def test_a_completed_job_refuses_it_by_an_event(self, ended: dict[str, Any], team: Team) -> None:
        team.run("annotate", "batchjob", "bit-by-bit", f"{RETRY}=again")

        def refused() -> bool:
            return "RequestRefused" in team.run(
                "get", "events", "--field-selector=involvedObject.name=bit-by-bit", "-o", "jsonpath={.items[*].reason}"
            )

        team.until("an event refuses it", refused)
        assert team.status("bit-by-bit")["status"] == "COMPLETED"
