"""The operator as a user installs it: by its chart, in the cluster, with images of this checkout."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.connection import Connection
from tests.cluster.kubectl import Kubectl
from tests.demo import installation, store
from tests.demo.store import Place
from tests.e2e.history import History

PATIENCE_SECONDS = 90
RULES = {
    "imagePullTimeoutSeconds": "5",
    "startRetryDelaySeconds": "1",
    "displaceAfterSeconds": "2",
    "progress.intervalSeconds": "1",
}
"""Waits of the operator, short so that the tests are."""


@pytest.fixture(scope="session")
def installed(cluster: Connection) -> Connection:
    """The operator, ready. Skips where no node runs containers."""
    if not cluster.real_node:
        pytest.skip("needs a node that runs containers (root on Debian, or Docker or Podman)")
    installation.install(cluster, RULES)
    return cluster


@dataclass
class Team:
    """A namespace with a store, and kubectl: all that a user has."""

    kubectl: Kubectl
    namespace: str
    place: Place
    image: str

    def run(self, *arguments: str, stdin: Any = None) -> str:
        return self.kubectl.run(
            *arguments, f"--namespace={self.namespace}", stdin=stdin, timeout_seconds=PATIENCE_SECONDS + 10
        )

    def write(self, file_id: str, text: str) -> None:
        path = self.place.files / file_id
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def apply(self, name: str, spec: dict[str, Any]) -> None:
        self.apply_object("BatchJob", name, spec)

    def apply_object(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        manifest = {
            "apiVersion": "batch-operator.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        self.run("apply", "-f", "-", stdin=manifest)

    def patch(self, kind: str, name: str, change: dict[str, Any]) -> None:
        self.run("patch", kind, name, "--type=merge", "-p", json.dumps(change))

    def job(self, name: str) -> Any:
        return self.kubectl.get("batchjob", name, f"--namespace={self.namespace}")

    def status(self, name: str) -> Any:
        return self.job(name).get("status", {})

    def pods(self, name: str) -> list[Any]:
        found = self.kubectl.get("pods", f"--namespace={self.namespace}", f"-lbatch-operator.dev/job-name={name}")
        return list(found["items"])

    def finished(self, name: str) -> Any:
        """The job's status once it has finished, by the README's own command."""
        self.run("wait", "--for=condition=Finished", f"batchjob/{name}", f"--timeout={PATIENCE_SECONDS}s")
        return self.status(name)

    def until(self, what: str, true: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        """Waits for a state of the world; fails naming it."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                pytest.fail(f"{what}: not so after {seconds:.0f} s")
            time.sleep(0.2)

    def outputs(self, name: str, port: str = "worker.results") -> Path:
        return self.place.outputs / self.namespace / str(self.status(name)["id"]) / port


@pytest.fixture(scope="module")
def make_team(installed: Connection, make_namespace: Callable[[], str]) -> Iterator[Callable[[], Team]]:
    """Makes teams with an empty store each; their volumes and files are removed at the module's end."""
    made: list[Team] = []

    def make() -> Team:
        namespace = make_namespace()
        team = Team(installed.client(), namespace, store.prepare(installed, namespace), installed.image_worker)
        made.append(team)
        return team

    yield make
    for team in made:
        installed.client().run("delete", "pv", f"{team.namespace}-{store.CLAIM}", "--wait=false")
        shutil.rmtree(team.place.root, ignore_errors=True)  # what pods wrote may belong to their user


@pytest.fixture(scope="module")
def team(make_team: Callable[[], Team]) -> Team:
    """A team of its own, with the pipeline line-count in its registry."""
    made = make_team()
    made.apply_object("Pipeline", "line-count-1.0.0", line_count(made.image))
    return made


@pytest.fixture(scope="module")
def history(team: Team) -> Iterator[History]:
    """What the team's jobs and pods go through, from the module's begin."""
    watching = History(team.kubectl, team.namespace)
    yield watching
    watching.close()


@pytest.fixture(scope="module")
def priorities(team: Team) -> Iterator[Callable[[str], str]]:
    """Priority classes of this module's own: low, middle and high -> the name in the cluster."""
    names = {level: f"{team.namespace}-{level}" for level in ("low", "middle", "high")}
    for value, name in enumerate(names.values()):
        team.kubectl.run("create", "priorityclass", name, f"--value={(value + 1) * 100}")
    yield names.__getitem__
    team.kubectl.run("delete", "priorityclass", *names.values())


def line_count(image: str, **component: Any) -> dict[str, Any]:
    """The spec of a small real pipeline: counts lines, and takes its time where the job asks for it."""
    number = {"type": "number"}
    return {
        "key": "line-count",
        "version": "1.0.0",
        "type": "batch",
        "status": "published",
        "input_ports": [{"name": "worker.files", "distribute": "scatter", "tracked": True, "required": True}],
        "output_ports": [{"name": "worker.results"}],
        "components": {
            "worker": {
                "image": image,
                "command": ["python3", "-m", "batch_worker", "line-count"],
                "resources": {"cpu": "100m", "memory": "256Mi"},
                **component,
            }
        },
        "user_config_schema": {
            "worker": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "seconds_per_input": number,
                    "fail_with_exit_code": {"type": "integer"},
                    "fail_after_inputs": {"type": "integer"},
                    "fail_until_attempt": {"type": "integer"},
                },
            }
        },
        "storage": {
            "inputs_url": "file:///data/files",
            "outputs_url": "file:///data/outputs",
            "volume": {"persistent_volume_claim": store.CLAIM, "mount_path": "/data"},
        },
    }
