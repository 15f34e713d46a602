"""`Story`: a history of the API server that a test tells, for the rules that judge one."""

from typing import Any

from batch_operator.cluster.resource_paths import BATCH_JOBS, NAMESPACES, PODS
from tests.builders import make_spec
from tests.fakes.api_server import FakeAPIServer
from tests.unit.faults.queue_rules import PATIENCE_SECONDS, QueueRules
from tests.unit.faults.scenario import NAMESPACE, PRIORITY_CLASSES, QUEUE, QUEUES

GPU = "nvidia.com/gpu"
OPERATOR = "operator-1"
LONG = PATIENCE_SECONDS + 5


class Story:
    """What an operator did, told by hand. `found`: what the rules say of it."""

    def __init__(self, gpus: int | None = 2, **spec: Any) -> None:
        self.server = FakeAPIServer()
        self.rules = QueueRules()
        self.server.create(NAMESPACES.path(), {"metadata": {"name": NAMESPACE}})
        for name, value in (("low", -10), ("high", 100)):
            self.server.create(PRIORITY_CLASSES, {"metadata": {"name": name}, "value": value})
        if gpus is not None:
            quota = {"quota": {GPU: str(gpus)}}
            self.server.create(QUEUES, {"metadata": {"name": QUEUE}, "spec": quota | spec}, actor="admin")

    def edit(self, **spec: Any) -> None:
        self.server.patch(f"{QUEUES}/{QUEUE}", {"spec": spec}, actor="admin")

    def delete_queue(self) -> None:
        self.server.delete(f"{QUEUES}/{QUEUE}", actor="admin")

    def wait(self, seconds: float = LONG) -> None:
        self.server.clock.advance(seconds)

    def job(self, name: str, gpus: int = 1, priority: str = "", **status: Any) -> None:
        """Applied now, and in line at once; a second later time goes on."""
        spec = make_spec(queue=QUEUE, priority_class_name=priority or None)
        self.server.create(BATCH_JOBS.path(NAMESPACE), {"metadata": {"name": name}, "spec": spec}, actor="user")
        ask = {"worker": {"count": gpus, "requests": {GPU: "1"}}}
        ledger = {"admission": {"pods": ask}, "components": {"worker": {"parallelism": gpus}}}
        self.says(name, **({"status": "PENDING", "ledger": ledger} | status))
        self.wait(1)

    def says(self, name: str, **status: Any) -> None:
        self.server.patch(f"{BATCH_JOBS.path(NAMESPACE, name)}/status", {"status": status}, actor=OPERATOR)

    def admit(self, name: str, pods: int = 1) -> None:
        self.says(name, status="ADMITTED", queue_position=None, queue_depth=None)
        for index in range(pods):
            self.pod(name, index)

    def pod(self, name: str, index: int = 0, gpus: int = 1) -> None:
        job = self.server.get(BATCH_JOBS.path(NAMESPACE, name))
        owner = {"kind": "BatchJob", "name": name, "uid": job["metadata"]["uid"], "controller": True}
        container = {"name": "worker", "resources": {"limits": {GPU: str(gpus)}}}
        metadata = {"name": f"{name}-{index}", "ownerReferences": [owner]}
        manifest = {"metadata": metadata, "spec": {"containers": [container]}}
        self.server.create(PODS.path(NAMESPACE), manifest, actor=OPERATOR)

    def pod_ends(self, name: str, index: int = 0) -> None:
        self.server.patch(f"{PODS.path(NAMESPACE, f'{name}-{index}')}/status", {"status": {"phase": "Succeeded"}})

    @property
    def found(self) -> list[str]:
        return [words for commit in self.server.log.all for words in self.rules.see(commit)]


# -- I10
