"""The progress endpoint of the installed operator: who is heard, who is not, and that refusals leave no trace."""

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.demo.installation import NAMESPACE
from tests.e2e.conftest import Team
from tests.e2e.test_line_count import job

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

AUDIENCE = "batch-operator.dev/progress"
WHOLE = {"completed": "0", "processing": "1", "failed": ""}


@pytest.fixture(scope="module")
def running(team: Team) -> list[Any]:
    """Two jobs of one slow pod each -> their pods; the first one's block is 0-1."""
    for number in range(2):
        team.write(f"lines_{number}.csv", "x\n")
    pods = []
    for name in ("heard", "other"):
        team.apply(name, job(2, parallelism=1, seconds_per_input=120))
        team.until(f"{name} runs", lambda name=name: team.status(name).get("status") == "RUNNING")  # type: ignore[misc]  # a lambda with a default
        pods += team.pods(name)
    return pods


class Endpoint:
    """Talks to the operator's Service as a pod would, with the authority from the job's ConfigMap."""

    def __init__(self, team: Team) -> None:
        self.team = team
        service = team.kubectl.get("services", f"--namespace={NAMESPACE}", "-lapp.kubernetes.io/name=batch-operator")
        (found,) = [s for s in service["items"] if any(p["port"] == 8443 for p in s["spec"]["ports"])]
        self.url = f"https://{found['spec']['clusterIP']}:8443/v1/progress"
        maps = team.kubectl.get("configmaps", f"--namespace={team.namespace}", "-lbatch-operator.dev/job-name=heard")
        self.context = ssl.create_default_context(cadata=maps["items"][0]["data"]["ca.crt"])

    def token(self, pod: Any, audience: str = AUDIENCE) -> str:
        return self.team.run(
            "create", "token", "default", f"--audience={audience}", "--bound-object-kind=Pod",
            f"--bound-object-name={pod['metadata']['name']}", f"--bound-object-uid={pod['metadata']['uid']}",
        ).strip()  # fmt: skip

    def post(self, token: str, body: bytes) -> tuple[int, str]:
        request = urllib.request.Request(self.url, body, {"Authorization": f"Bearer {token}"}, method="POST")
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=10) as answer:
                return answer.status, ""
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.loads(refusal.read())["message"]


@pytest.fixture(scope="module")
def endpoint(team: Team, running: list[Any]) -> Endpoint:
    return Endpoint(team)


def test_a_living_pod_is_heard(team: Team, endpoint: Endpoint, running: list[Any]) -> None:
    body = json.dumps({"completed": "", "processing": "0-1", "failed": ""}).encode()
    assert endpoint.post(endpoint.token(running[0]), body) == (204, "")


class TestRefusals:
    def test_each_has_its_code_and_leaves_no_trace(self, team: Team, endpoint: Endpoint, running: list[Any]) -> None:
        token = endpoint.token(running[0])
        good = json.dumps(WHOLE).encode()
        before = team.status("heard")
        answers = {
            "no token of ours": endpoint.post("not.a.token", good)[0],
            "another audience": endpoint.post(endpoint.token(running[0], "someone-else"), good)[0],
            "too large": endpoint.post(token, b" " * (64 * 1024 + 1))[0],
            "not JSON": endpoint.post(token, b"{")[0],
            "a number outside the block": endpoint.post(token, json.dumps({"completed": "7"}).encode())[0],
        }
        assert answers == {
            "no token of ours": 401,
            "another audience": 401,
            "too large": 413,
            "not JSON": 400,
            "a number outside the block": 400,
        }
        after = team.status("heard")
        assert after["input_progress"]["completed"] == before["input_progress"]["completed"] == 0
        assert "completed_inputs" not in after["ledger"]

    def test_a_pod_that_is_none_of_ours(self, team: Team, endpoint: Endpoint) -> None:
        security = {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        container = {
            "name": "worker",
            "image": team.image,
            "command": ["python3", "-c", "import time; time.sleep(100)"],
            "securityContext": security,
        }
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "stranger"},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]},
        }
        team.run("create", "-f", "-", stdin=manifest)
        stranger = team.kubectl.get("pod", "stranger", f"--namespace={team.namespace}")
        assert endpoint.post(endpoint.token(stranger), json.dumps(WHOLE).encode())[0] == 403

    def test_a_pod_that_is_dead(self, team: Team, endpoint: Endpoint, running: list[Any]) -> None:
        token = endpoint.token(running[1])
        team.run("delete", "batchjob", "other")
        team.until("its pod is gone", lambda: not team.pods("other"))
        status, _ = endpoint.post(token, json.dumps(WHOLE).encode())
        assert status in (401, 403), "403 while the API server still takes the token, 401 after that"
