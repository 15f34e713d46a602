"""Pods that are refused, or cannot start: which of it fails a job, which only holds it. All run at the same time."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e import losses
from tests.e2e.conftest import Team
from tests.e2e.history import History

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

INPUTS = 2
MISSING_SECRET = {"env": [{"name": "TOKEN", "secret": {"name": "not-there", "key": "token"}}]}
FAILING: dict[str, tuple[dict[str, Any], str]] = {
    "no-image": ({"image": "localhost/no-such-image:1", "image_pull_policy": "IfNotPresent"}, "no-such-image"),
    "bad-image-name": ({"image": "Not/An:::Image"}, "InvalidImageName"),
    "no-secret": (MISSING_SECRET, "not-there"),
}
"""Pipeline -> (what is wrong with its component, what the error must say)."""


@pytest.fixture(scope="module", autouse=True)
def jobs(team: Team, history: History) -> None:
    losses.write_lines(team, INPUTS)
    for name, (component, _) in FAILING.items():
        losses.pipeline(team, name, **component)
        team.apply(name, losses.job(name, 1, 0, INPUTS))
    losses.pipeline(team, "no-command", command=["/no/such/program"])
    team.apply("no-command", losses.job("no-command", 1, 0, INPUTS, max_retries=1))
    team.apply("no-class", losses.job("line-count", 1, 0, INPUTS) | {"priority_class_name": f"{team.namespace}-later"})


@pytest.mark.parametrize("name", FAILING)
def test_it_fails_with_the_kubelet_s_words(team: Team, name: str) -> None:
    status = team.finished(name)
    assert (status["status"], status["error"]["code"]) == ("FAILED", "START_FAILED")
    assert FAILING[name][1] in status["error"]["message"]
    assert (status["retry_count"], status["preemption_count"]) == (0, 0)
    assert not [pod for pod in team.pods(name) if pod["status"]["phase"] in ("Pending", "Running")]


def test_a_command_that_is_not_there_is_a_failure_like_others(team: Team) -> None:
    status = team.finished("no-command")
    assert (status["status"], status["error"]["code"], status["retry_count"]) == ("FAILED", "RETRIES_EXHAUSTED", 1)
    assert "/no/such/program" in status["error"]["message"]


def stalled(team: Team, name: str) -> Any:
    """Its status, once the condition Stalled is True."""
    team.run("wait", "--for=condition=Stalled", f"batchjob/{name}", "--timeout=30s")
    return team.status(name)


def test_an_unknown_priority_class_holds_it_with_the_server_s_words(team: Team) -> None:
    status = stalled(team, "no-class")
    (condition,) = [c for c in status["conditions"] if c["type"] == "Stalled"]
    assert status["status"] == "PENDING"
    assert condition["reason"] == "CreateRefused"
    assert f"no PriorityClass with name {team.namespace}-later" in condition["message"]


@pytest.mark.slow
def test_it_goes_on_once_somebody_made_the_priority_class(team: Team) -> None:
    stalled(team, "no-class")
    team.kubectl.run("create", "priorityclass", f"{team.namespace}-later", "--value=1")
    try:
        assert team.finished("no-class")["status"] == "COMPLETED", "it tries again every minute"
    finally:
        team.kubectl.run("delete", "priorityclass", f"{team.namespace}-later")


def apply(team: Team, kind: str, name: str, spec: dict[str, Any]) -> None:
    manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    team.run("apply", "-f", "-", stdin=manifest)


@pytest.fixture(scope="module")
def strict(make_team: Callable[[], Team]) -> Team:
    """A team whose namespace has a quota of no pods and a limit that its pipeline breaks."""
    made = make_team()
    losses.write_lines(made, INPUTS)
    losses.pipeline(made, "line-count")
    losses.pipeline(made, "too-much", resources={"cpu": "100m", "memory": "3Gi"})
    return made


def test_a_quota_holds_it_until_there_is_room(strict: Team) -> None:
    apply(strict, "ResourceQuota", "none", {"hard": {"pods": "0"}})
    strict.until("the quota counts", lambda: "pods: 0/0" in strict.run("get", "resourcequota", "none"))
    strict.apply("waits", losses.job("line-count", 1, 0, INPUTS))
    strict.until("it waits for the quota", lambda: "NamespaceQuota" in str(strict.status("waits").get("conditions")))
    status = strict.status("waits")
    assert status["status"] == "PENDING"
    assert "exceeded quota" in status["message"]
    assert not [c for c in status["conditions"] if c["type"] == "Stalled" and c["status"] == "True"]
    strict.run("delete", "resourcequota", "none")
    assert strict.finished("waits")["status"] == "COMPLETED"


def test_a_policy_of_the_namespace_holds_it_with_the_server_s_words(strict: Team) -> None:
    apply(strict, "LimitRange", "small", {"limits": [{"type": "Container", "max": {"memory": "1Gi"}}]})
    strict.apply("too-much", losses.job("too-much", 1, 0, INPUTS))
    status = stalled(strict, "too-much")
    assert status["status"] == "PENDING"
    assert "maximum memory usage per Container is 1Gi" in status["message"]
