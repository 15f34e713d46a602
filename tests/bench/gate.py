"""The benchmark's short form for `make test`: is this operator still near the bare script with its own writes?

On the cluster that the tests have. Its audit log is not at hand everywhere (kind's is inside a container), so times are
those of the test's own watch: a third process, alike for both. Only their ratio counts. Called by
tests/contract/test_bench_gate.py.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from batch_operator.cluster.resource_paths import CONFIG_MAPS, NAMESPACES, PIPELINES, PODS
from tests.bench.contender import GPU, JOB_NAME, Contender, Limits, Object, Shape
from tests.bench.contenders.bare import Bare
from tests.bench.contenders.this_operator import ThisOperator
from tests.bench.runs import Outcomes
from tests.bench.submitter import Submitter
from tests.bench.watching import following
from tests.cluster import fake_nodes
from tests.faults.upstream import Upstream, until

NODES = 2
GPUS = 200
SHAPE = Shape(1)
_NODES = "/api/v1/nodes"
_SECONDS = 60.0


@dataclass
class TestDesk:
    """A `contender.Desk` on somebody's cluster: all ask as its administrator, and what it lacks nobody here needs."""

    __test__ = False
    binaries: Path
    directory: Path
    upstream: Upstream
    admin: Path
    namespace: str

    def kubeconfig(self, account: str) -> Path:
        return self.admin

    async def ask(self, method: str, path: str, body: Object | None = None, may_fail: tuple[int, ...] = ()) -> Object:
        return await self.upstream.ask(method, path, body, may_fail=may_fail)

    async def apply(self, *manifests: Object) -> None:
        raise NotImplementedError("the CRDs are there, and nothing else is needed")

    async def limit_controller_manager(self, limits: Limits) -> None:
        raise NotImplementedError("it has no part in this")

    def contenders(self) -> tuple[Contender, Contender]:
        """(the bare script with the operator's writes, the operator), their pods on this desk's nodes."""
        toleration = {"key": fake_nodes.ANNOTATION, "operator": "Exists"}
        place = {"node_selector": {"kubernetes.io/hostname": self.namespace}, "tolerations": [toleration]}
        return Bare("0b", all_writes=True, placement=place), ThisOperator(placement=place)

    async def seconds_of(self, contender: Contender, jobs: int) -> float:
        """From the first job that the watch shows to the last one's end."""
        path = contender.collection(self.namespace)
        outcomes = _Timed(contender)
        bodies = [contender.manifest(JOB_NAME % number, SHAPE) for number in range(jobs)]
        await until(lambda: self.upstream.exists(f"{path}?limit=1"), f"{path} is served")  # Established comes before
        try:
            async with following(self.upstream, path, outcomes.seen):
                await contender.start(self, self.namespace, SHAPE)
                submitter = await Submitter.start(self, path, bodies)
                try:
                    await submitter.submit()
                    await outcomes.until(jobs, _SECONDS)
                finally:
                    await submitter.end()
        finally:
            await contender.stop()
            await self._empty(path)
        return outcomes.last - outcomes.first

    async def _empty(self, *paths: str) -> None:
        resources = [resource.path(self.namespace) for resource in (PODS, CONFIG_MAPS, PIPELINES)]
        for path in (*paths, *resources):
            await self.ask("DELETE", f"{path}?gracePeriodSeconds=0&propagationPolicy=Background", may_fail=(404,))

        async def gone() -> bool:
            found = [await self.ask("GET", f"{path}?limit=1") for path in (*paths, *resources[:1])]
            return not any(listing["items"] for listing in found)

        await until(gone, "everything of a run is deleted", _SECONDS)


class _Timed(Outcomes):
    first = last = 0.0

    def seen(self, kind: str, job: Object) -> None:
        now, before = time.monotonic(), len(self.ended)
        self.first = self.first or now
        super().seen(kind, job)
        if len(self.ended) > before:
            self.last = now


@asynccontextmanager
async def desk(kubeconfig: str, binaries: str, directory: Path) -> AsyncIterator[TestDesk]:
    """With nodes and a namespace of its own, removed afterwards."""
    name = f"bench-{uuid4().hex[:6]}"
    nodes = [f"fake-{name}-{number}" for number in range(NODES)]
    async with await Upstream.connect(kubeconfig) as upstream:
        made = TestDesk(Path(binaries), directory, upstream, Path(kubeconfig), name)
        try:
            for node in nodes:
                await made.ask("POST", _NODES, _node(node, name))
            await made.ask("POST", NAMESPACES.path(), {"metadata": {"name": name}})
            account = f"{NAMESPACES.path(None, name)}/serviceaccounts/default"
            await until(lambda: upstream.exists(account), f"the service account of {name}")
            yield made
        finally:
            with suppress(OSError):
                for path in (NAMESPACES.path(None, name), *(f"{_NODES}/{node}" for node in nodes)):
                    await made.ask("DELETE", path, may_fail=(404, 409))


def _node(name: str, hostname: str) -> Object:
    node = fake_nodes.node(0)
    node["metadata"]["name"] = name
    node["metadata"]["labels"]["kubernetes.io/hostname"] = hostname
    for amounts in (node["status"]["capacity"], node["status"]["allocatable"]):
        amounts[GPU] = str(GPUS)
    return node
