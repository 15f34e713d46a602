"""Two replicas of the installed operator: progress reaches the leader alone, whoever leads and whatever is done to the
EndpointSlice.
"""

import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.connection import Connection
from tests.cluster.kubectl import Kubectl
from tests.demo import installation
from tests.demo.installation import NAMESPACE
from tests.e2e.conftest import RULES, Team
from tests.e2e.test_line_count import job
from tests.e2e.test_progress_endpoint import Endpoint

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

HERE = f"--namespace={NAMESPACE}"
LABELS = "-lapp.kubernetes.io/name=batch-operator"
SLICES = ("endpointslices", HERE, "-lkubernetes.io/service-name=batch-operator-progress")
REPORT = json.dumps({"completed": "", "processing": "0-1", "failed": ""}).encode()


class Replicas:
    """The operator's pods, who of them leads, and where the progress Service leads to."""

    def __init__(self, kubectl: Kubectl) -> None:
        self.kubectl = kubectl

    def pods(self) -> dict[str, Any]:
        """Name -> pod, of those that are ready and stay."""
        return {
            pod["metadata"]["name"]: pod
            for pod in self.kubectl.get("pods", HERE, LABELS)["items"]
            if "deletionTimestamp" not in pod["metadata"]
            and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
        }

    def leader(self) -> str:
        lease = self.kubectl.get("lease", "batch-operator", HERE)
        return str(lease.get("spec", {}).get("holderIdentity", "")).partition("_")[0]

    def addresses(self) -> list[str]:
        """All that the Service leads to."""
        found = self.kubectl.get(*SLICES)["items"]
        return [address for part in found for one in part["endpoints"] or () for address in one["addresses"]]

    def lead_to_the_leader(self) -> bool:
        """Whether there are two replicas, and progress goes to the one that leads."""
        pods, leader = self.pods(), self.leader()
        return len(pods) == 2 and leader in pods and self.addresses() == [pods[leader]["status"]["podIP"]]

    def heard(self, name: str) -> int:
        """Reports that a replica has answered with 204, by its own count."""
        url = f"http://{self.pods()[name]['status']['podIP']}:8080/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = re.search(r'batch_operator_progress_reports_total{code="204"} (\S+)', answer.read().decode())
        return int(float(found[1])) if found else 0


@pytest.fixture(scope="module")
def replicas(installed: Connection) -> Iterator[Replicas]:
    """Two of them, for this module."""
    installation.install(installed, RULES | {"replicas": "2"})
    yield Replicas(installed.client())
    installation.install(installed, RULES | {"replicas": "1"})


@pytest.fixture(scope="module")
def endpoint(team: Team, replicas: Replicas) -> Endpoint:
    """The Service, for one slow pod of the job `heard`."""
    for number in range(2):
        team.write(f"lines_{number}.csv", "x\n")
    team.apply("heard", job(2, parallelism=1, seconds_per_input=600))
    team.until("the job runs", lambda: team.status("heard").get("status") == "RUNNING")
    return Endpoint(team)


@pytest.fixture
def well(team: Team, replicas: Replicas) -> Replicas:
    """Both are ready, and progress goes to the leader."""
    team.until("progress goes to the leader", replicas.lead_to_the_leader)
    return replicas


def report(team: Team, endpoint: Endpoint, times: int = 1) -> list[int]:
    (pod,) = team.pods("heard")
    token = endpoint.token(pod)
    return [endpoint.post(token, REPORT)[0] for _ in range(times)]


def test_every_report_reaches_the_leader(team: Team, endpoint: Endpoint, well: Replicas) -> None:
    leader = well.leader()
    (other,) = set(well.pods()) - {leader}
    before = well.heard(leader)
    assert report(team, endpoint, 30) == [204] * 30
    assert well.heard(leader) - before >= 30
    assert well.heard(other) == 0


@pytest.mark.parametrize(
    "meddle",
    [
        ("patch", "--type=merge", "-p", '{"endpoints": [{"addresses": ["192.0.2.1"]}]}'),
        ("patch", "--type=merge", "-p", '{"metadata": {"labels": {"kubernetes.io/service-name": "another"}}}'),
        ("delete",),
    ],
    ids=["led-elsewhere", "taken-from-the-service", "deleted"],
)
def test_a_slice_that_somebody_meddles_with_is_put_right(
    team: Team, endpoint: Endpoint, well: Replicas, meddle: tuple[str, ...]
) -> None:
    verb, *rest = meddle
    well.kubectl.run(verb, "endpointslice", "batch-operator-progress", HERE, *rest)
    team.until("progress goes to the leader again", well.lead_to_the_leader, 10)
    team.until("a report gets through", lambda: _heard(team, endpoint), 10)


def test_when_the_leader_s_pod_is_gone_progress_goes_to_the_next_one(
    team: Team, endpoint: Endpoint, well: Replicas
) -> None:
    leader = well.leader()
    well.kubectl.run("delete", "pod", leader, HERE, "--grace-period=0", "--force")
    # a forced delete is no kill -9: the kubelet ends the process in its own time, and until then it may lead on; then
    # its replacement may be there, too, and be faster
    team.until("another one leads", lambda: well.leader() not in ("", leader))
    team.until("progress goes to the new leader", well.lead_to_the_leader)
    team.until("a report gets through", lambda: _heard(team, endpoint))
    assert team.status("heard")["status"] == "RUNNING"


def test_an_update_hands_over_and_leaves_the_job_alone(team: Team, endpoint: Endpoint, well: Replicas) -> None:
    before = set(well.pods())
    (pod,) = team.pods("heard")
    well.kubectl.run("rollout", "restart", "deployment/batch-operator", HERE)
    team.until("new pods", lambda: well.lead_to_the_leader() and not before & set(well.pods()))
    team.until("a report gets through", lambda: _heard(team, endpoint))
    assert [p["metadata"]["uid"] for p in team.pods("heard")] == [pod["metadata"]["uid"]]
    assert team.status("heard")["status"] == "RUNNING"


def _heard(team: Team, endpoint: Endpoint) -> bool:
    """kube-proxy follows the slice in its own time; until then connections are refused."""
    try:
        return report(team, endpoint) == [204]
    except OSError:
        return False
