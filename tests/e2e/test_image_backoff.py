"""An image that cannot be had at first, with the kubelet's real back-off of 10, 20, 40 s between its tries."""

import time
from collections.abc import Iterator

import pytest

from tests.cluster import node
from tests.cluster.connection import Connection
from tests.cluster.state import State
from tests.demo import installation
from tests.e2e import losses
from tests.e2e.conftest import RULES, Team
from tests.e2e.history import History

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(240)]

TIMEOUT_SECONDS = 40
LATE, NEVER = "localhost/batch-operator/late:1", "localhost/batch-operator/never:1"


@pytest.fixture(scope="module", autouse=True)
def patient_operator(cluster: Connection, installed: Connection) -> Iterator[None]:
    if cluster.kind != "local":
        pytest.skip("needs the local cluster: an image is given to its real node meanwhile")
    installation.install(cluster, {**RULES, "imagePullTimeoutSeconds": str(TIMEOUT_SECONDS)})
    yield
    installation.install(cluster, RULES)


def test_it_may_come_late_and_not_too_late(cluster: Connection, team: Team, history: History) -> None:
    """An operator that is restarted meanwhile goes on counting where the other one was."""
    losses.write_lines(team, 2)
    for name, image in (("late", LATE), ("never", NEVER)):
        losses.pipeline(team, name, image=image, image_pull_policy="IfNotPresent")
        team.apply(name, losses.job(name, 1, 0, 2))
    team.until("the kubelet backs off", lambda: "ImagePullBackOff" in str(team.pods("never")))
    began = time.monotonic()
    team.kubectl.run("rollout", "restart", losses.OPERATOR[0], losses.OPERATOR[1])
    node.tag_image(node.sandbox_of(State.of_checkout()), cluster.image_worker, LATE)
    status = team.finished("late")
    assert (status["status"], status["retry_count"], status["preemption_count"]) == ("COMPLETED", 0, 0)
    assert history.attempts("late") == {0: [0]}
    assert team.status("never")["status"] == "ADMITTED", "the kubelet tries again, and so it may still come"
    status = team.finished("never")
    waited = time.monotonic() - began
    assert (status["status"], status["error"]["code"]) == ("FAILED", "START_FAILED")
    assert NEVER in status["error"]["message"]
    # it began to count up to 13 s before: at the first ErrImagePull, which the back-off follows
    assert TIMEOUT_SECONDS - 20 <= waited <= TIMEOUT_SECONDS + 15, f"{waited:.0f} s"
