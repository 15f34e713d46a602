"""batch/v1 Indexed Job, by the controller manager. Listed in contenders.line_up."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.audit import Entry
from tests.bench.contender import Desk, Limits, Object, Shape
from tests.bench.contenders.operator_objects import SUCCEEDED
from tests.bench.own_writes import pod_spec


@dataclass
class IndexedJob:
    name: str
    limits: Limits
    kind: str = "Job"

    async def prepare(self, desk: Desk) -> None:
        """It is built in."""

    async def start(self, desk: Desk, namespace: str, shape: Shape) -> None:
        await desk.limit_controller_manager(self.limits)

    async def stop(self) -> None:
        """The controller manager goes on."""

    @property
    def pids(self) -> Sequence[int]:
        return ()

    def check(self) -> None:
        """The ground looks after the control plane."""

    def collection(self, namespace: str) -> str:
        return f"/apis/batch/v1/namespaces/{namespace}/jobs"

    def manifest(self, name: str, shape: Shape) -> Object:
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name},
            "spec": {
                "completionMode": "Indexed",
                "completions": shape.pods,
                "parallelism": shape.pods,
                "template": {"spec": pod_spec(shape.seconds)},
            },
        }

    def outcome(self, job: Object) -> str:
        conditions = (job.get("status") or {}).get("conditions") or ()
        ends = {c["type"] for c in conditions if c["status"] == "True"} & {"Complete", "Failed"}
        return "" if not ends else SUCCEEDED if ends == {"Complete"} else "Failed"

    def is_own(self, entry: Entry) -> bool:
        return "job-controller" in entry.agent

    def may_end(self, entry: Entry) -> bool:
        return self.is_own(entry) and entry.resource == "jobs/status"
