"""`World`: one fake API server, its pods' driver, operators and time, run together and always in the same order."""

import base64
from collections.abc import Callable, Mapping
from functools import partial

from batch_operator.api import names
from batch_operator.api.job_file import JobFile
from batch_operator.resources.configmap import job_file
from tests.fakes.api_server import FakeAPIServer, path_of
from tests.fakes.client import Request, Sent
from tests.fakes.faults import Fault, Kind, Misfortunes
from tests.fakes.nodes import Nodes
from tests.fakes.operator_process import LEASE_SECONDS, SimulatedOperator
from tests.fakes.pod_scripts import PodPlace, Report, Script
from tests.fakes.pods import PodDriver
from tests.fakes.resource_types import CONFIG_MAPS, Address

MAX_ROUNDS = 300
ONE_NODE = {"node-1": 64}
"""Node -> its GPUs."""


class Restless(AssertionError):
    """The operators go on and on without any time passing."""


class World:
    """`faults` befall its operators. All of a world is made by one thread in one event loop."""

    def __init__(
        self, script_of: Callable[[PodPlace], Script], *faults: Fault, nodes: Mapping[str, int] = ONE_NODE
    ) -> None:
        self.misfortunes = Misfortunes(faults)
        self.wall_offset = 0.0
        self.stopped: set[str] = set()
        self.version_at_crash = 0
        self.server = FakeAPIServer()
        self.clock = self.server.clock
        self.nodes = Nodes(self.server, nodes)
        self.driver = PodDriver(self.server, self.nodes, script_of, self._reported, lambda act, pod: act(self, pod))
        self.operators: list[SimulatedOperator] = []
        self.start_another()
        if two := self.misfortunes.has(Kind.TWO):
            self.start_another()
            self.operators.sort(key=lambda operator: operator.name, reverse=bool(two.k))
            self.clock.call_at(LEASE_SECONDS, self.operators[-1].end)

    @property
    def sent(self) -> list[Sent]:
        """Every write that reached the server from any operator."""
        return [sent for operator in self.operators for sent in operator.client.sent]

    async def run_until(self, when: float) -> None:
        """Lets everything happen that is due until then."""
        while True:
            await self._settle()
            due = self.clock.next_alarm()
            if due is None or due > when:
                break
            self.clock.advance_to(due)
        self.clock.advance_to(when)
        await self._settle()

    async def run_for(self, seconds: float) -> None:
        await self.run_until(self.clock.time() + seconds)

    # -- what a fault does around its operator

    async def others_run(self, operator: SimulatedOperator, seconds: float) -> None:
        """Time passes while one operator waits for its answer, or is stopped."""
        await self.run_for(seconds)

    def start_another(self, after: Fault | None = None) -> None:
        name = f"operator-{len(self.operators) + 1}"
        self.operators.append(SimulatedOperator(self.server, name, self.misfortunes, self, after))

    def crashed(self, fault: Fault, seconds: float) -> None:
        self.version_at_crash = self.server.log.version
        self.clock.call_after(seconds, partial(self.start_another, fault))
        if fault.kind is Kind.TAMPERED:
            self.clock.call_after(1.0, self._tamper)

    def before_write(self, fault: Fault, request: Request) -> None:
        if fault.kind is not Kind.STRANGER:
            return
        pod = self.server.get(request.path)
        name, collection = pod["metadata"]["name"], request.path.rsplit("/", 1)[0]
        self.server.delete(request.path, uid=pod["metadata"]["uid"], grace_seconds=0, actor="stranger")
        self.server.create(collection, {"metadata": {"name": name}, "spec": pod["spec"]}, actor="stranger")

    # -- inside

    async def _settle(self) -> None:
        for _ in range(MAX_ROUNDS):
            moved = [await operator.step() for operator in list(self.operators)]
            if not any(moved):
                return
        raise Restless(f"after {MAX_ROUNDS} rounds at {self.clock.time():.1f} s the operators still go on")

    def _reported(self, pod_uid: str, body: Report) -> None:
        """The Service leads to one replica that answers."""
        for operator in self.operators:
            if operator.alive and not operator.paused:
                operator.take_report(pod_uid, body)
                return

    def _tamper(self) -> None:
        """An editor of the namespace puts other work under the same name."""
        for commit in list(self.server.log.of(CONFIG_MAPS)):
            path = path_of(Address(CONFIG_MAPS, commit.namespace, commit.name))
            made = job_file(commit.object)
            if made is None or not self.server.exists(commit.object["metadata"]["uid"]):
                continue
            if self._has_ended(commit.object["metadata"]["ownerReferences"][0]["uid"]):
                continue  # nobody looks at it any more
            evil = JobFile.encode({**made.document, "inputs_url": "file:///evil"})
            manifest = {
                **commit.object,
                "binaryData": {names.JOB_FILE_KEY: base64.b64encode(evil.compressed()).decode()},
            }
            self.server.delete(path, actor="editor")
            self.server.create(path.rsplit("/", 1)[0], manifest, actor="editor")

    def _has_ended(self, job_uid: str) -> bool:
        jobs = self.server.list_page("/apis/batch-operator.dev/v1alpha1/batchjobs")["items"]
        status = next((job.get("status") or {} for job in jobs if job["metadata"]["uid"] == job_uid), {})
        return any(c["type"] == "Finished" and c["status"] == "True" for c in status.get("conditions") or ())
