"""Ways to take a worker away, by what a cluster has for it; and the pipelines and pods that these tests need."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cluster import node
from tests.cluster.connection import Connection
from tests.cluster.kubectl import Kubectl
from tests.cluster.state import State
from tests.demo.installation import NAMESPACE
from tests.e2e.conftest import Team, line_count

OPERATOR = ("deployment/batch-operator", f"--namespace={NAMESPACE}")
RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
SLOW_AFTER_ITS_FIRST_INPUT = """
from batch_worker.workers.line_count import LineCount
process = LineCount.process
def slow(self, source, path, results):
    if source.number:
        self._stop.sleep(60)
    process(self, source, path, results)
LineCount.process = slow
"""
"""What a pod does first, for `misbehaving`: all its inputs but the job's first take a minute longer."""
GATE = "gate-is-open"
_GATED = """
import os
from batch_worker.workers.line_count import LineCount
process = LineCount.process
def gated(self, source, path, results):
    while self._started and not os.path.exists("/data/%s"):
        self._stop.sleep(0.2)
    process(self, source, path, results)
LineCount.process = gated
"""
BEHIND_A_GATE = _GATED % GATE
"""What each pod does first, for `misbehaving`: after its first input it waits until `open_gate`."""
_WRAPPER = """
import os, runpy, sys
exec(os.environ["ALWAYS"])
if os.environ["BATCH_ATTEMPT"] == "0" and os.environ["BATCH_INDEX"] == "0":
    exec(os.environ["FIRST"])
sys.argv = ["batch_worker", "line-count"]
runpy.run_module("batch_worker", run_name="__main__")
"""


def pipeline(team: Team, key: str, **component: Any) -> None:
    """line-count under another key, with other settings of its component."""
    spec = line_count(team.image) | {"key": key}
    spec["components"]["worker"] |= component
    team.apply_object("Pipeline", key, spec)


def misbehaving(team: Team, key: str, first: str = "", always: str = "", **component: Any) -> None:
    """line-count whose pods all do `always` (Python) and whose first pod of index 0 does `first` before anything
    else."""
    env = [{"name": "FIRST", "value": first}, {"name": "ALWAYS", "value": always}]
    pipeline(team, key, command=["python3", "-c", _WRAPPER], env=env, **component)


def behind_gate(name: str) -> str:
    """BEHIND_A_GATE, with a gate of its own."""
    return _GATED % name


def open_gate(team: Team, name: str = GATE) -> None:
    """Lets the workers go on that are BEHIND_A_GATE."""
    (team.place.root / name).touch()


def job(key: str, parallelism: int, seconds_per_input: float = 0, count: int = 6, **policy: Any) -> dict[str, Any]:
    """Of inputs lines_0.csv …; failed pods come back after a second."""
    return {
        "pipeline_type": "batch",
        "pipeline_key": key,
        "inputs": {"worker.files": [{"file_id": f"lines_{number}.csv"} for number in range(count)]},
        "parameters": {"worker": {"parallelism": parallelism, "config": {"seconds_per_input": seconds_per_input}}},
        "policy": {"backoff_seconds": 1, "grace_seconds": 5, **policy},
    }


def write_lines(team: Team, count: int = 6) -> None:
    for number in range(count):
        team.write(f"lines_{number}.csv", "x\n" * (number + 1))


def into_the_next_second(team: Team, name: str) -> None:
    """Returns when a job that is made now is younger than that one by the API server's clock, which has no tenths."""
    created = datetime.fromisoformat(team.job(name)["metadata"]["creationTimestamp"])
    time.sleep(max(0.0, (created + timedelta(seconds=1) - datetime.now(UTC)).total_seconds()))


@contextmanager
def cordoned(kubectl: Kubectl, node_name: str) -> Iterator[None]:
    """Meanwhile no pod is placed there."""
    kubectl.run("cordon", node_name)
    try:
        yield
    finally:
        kubectl.run("uncordon", node_name)


def pod_of(team: Team, name: str, index: int) -> Any:
    """The job's pod of this index that is not being deleted."""
    label = "batch-operator.dev/index"
    found = [p for p in team.pods(name) if p["metadata"]["labels"][label] == str(index)]
    (pod,) = [p for p in found if "deletionTimestamp" not in p["metadata"] and p["status"]["phase"] == "Running"]
    return pod


def evict(team: Team, pod: Any) -> None:
    """By the eviction API, as `kubectl drain` does it for each pod."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    team.kubectl.run("create", "--raw", path, "-f", "-", stdin=eviction)


def kill(cluster: Connection, pod: Any) -> None:
    """SIGKILL to the worker's process, on its node."""
    if cluster.kind != "local":
        pytest.skip("needs the local cluster: processes on its real node are killed")
    sandbox = node.sandbox_of(State.of_checkout())
    (status,) = pod["status"]["containerStatuses"]
    container = status["containerID"].removeprefix("containerd://")
    command = ["ctr", "--namespace", "k8s.io", "task", "kill", "--signal", "SIGKILL", container]
    subprocess.run([*node.prefix(sandbox), *command], check=True)


def intruder(team: Team, name: str, priority_class: str, gpus: int) -> None:
    """A pod that is nobody's, wants GPUs and is more important."""
    container = {
        "name": "intruder",
        "image": team.image,
        "command": ["python3", "-c", "import time; time.sleep(1000)"],
        "securityContext": RESTRICTED,
        "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "priorityClassName": priority_class,
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "containers": [container],
    }
    team.run("create", "-f", "-", stdin={"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def outputs(team: Team, name: str) -> dict[str, bytes]:
    """Every result file of a job, by its path."""
    folder = team.outputs(name)
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def parts(team: Team, name: str) -> dict[str, int]:
    """The parts that lie there, by path, and the inode of each: one that is written again has another."""
    folder = team.outputs(name)
    return {str(p.relative_to(folder)): p.stat().st_ino for p in folder.glob("*/*.csv")}


def finished(team: Team, name: str) -> set[int]:
    """Numbers of the inputs whose results are complete."""
    return {int(path.parent.name) for path in team.outputs(name).glob("*/commit.json")}
