"""This operator, as a real process beside the cluster. Listed in contenders.line_up."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from batch_operator.cluster.resource_paths import BATCH_JOBS, PIPELINES
from tests.bench import own_writes
from tests.bench.audit import Entry
from tests.bench.contender import Desk, Object, Shape, by_account
from tests.bench.contenders import operator_objects
from tests.contract.operator_processes import OperatorProcess, Operators
from tests.faults.bench import custom
from tests.faults.upstream import until

ACCOUNT = "operator"


@dataclass
class ThisOperator:
    """`settings`: beside those that it needs; `queue`: the Queue that its jobs name, and its spec; `placement`: of its
    Pipeline's component."""

    name: str = "operator"
    kind: str = "BatchJob"
    settings: Mapping[str, object] = field(default_factory=dict)
    placement: Mapping[str, Any] = field(default_factory=dict)
    queue: str = ""
    queue_spec: Mapping[str, Any] = field(default_factory=dict)
    _operators: Operators | None = None
    _running: OperatorProcess | None = None

    async def prepare(self, desk: Desk) -> None:
        await desk.apply(*operator_objects.crds())

    async def start(self, desk: Desk, namespace: str, shape: Shape) -> None:
        await desk.ask("POST", PIPELINES.path(namespace), own_writes.pipeline(shape, **self.placement))
        if self.queue:
            await desk.apply(custom("Queue", self.queue, dict(self.queue_spec)))
        kubeconfig = str(desk.kubeconfig(ACCOUNT))
        # a Lease of each run's own, and one identity for all its processes, as a container has that is started anew in
        # its pod: nobody waits for the Lease of a process that was killed
        self._operators = Operators(
            kubeconfig, namespace, desk.directory, **{"pod_uid": f"pod-{namespace}", **self.settings}
        )
        await self.go_on()

    async def go_on(self) -> OperatorProcess:
        """A process, the first or the next one; returns when it is ready."""
        assert self._operators is not None, "start() comes first"
        self._running = self._operators.start("operator")
        await until(self._is_ready, "the operator is ready", 120.0)
        return self._running

    def kill(self) -> None:
        """kill -9."""
        assert self._running is not None, "it runs"
        self._running.kill()
        self._running = None

    async def stop(self) -> None:
        if self._operators is not None:
            self._operators.end()
        self._operators = self._running = None

    @property
    def process(self) -> OperatorProcess:
        assert self._running is not None, "it runs"
        return self._running

    @property
    def pids(self) -> Sequence[int]:
        return [] if self._running is None else [self._running.process.pid]

    def check(self) -> None:
        if self._running is not None and (code := self._running.process.poll()) is not None:
            raise RuntimeError(f"the operator ended with {code}; its log: {self._running.log_file}")

    def collection(self, namespace: str) -> str:
        return BATCH_JOBS.path(namespace)

    def manifest(self, name: str, shape: Shape) -> Object:
        return own_writes.manifest(name, shape, self.queue)

    def outcome(self, job: Object) -> str:
        return operator_objects.outcome(job)

    def is_own(self, entry: Entry) -> bool:
        return by_account(entry, ACCOUNT)

    def may_end(self, entry: Entry) -> bool:
        return self.is_own(entry) and entry.resource == "batchjobs/status"

    async def _is_ready(self) -> bool:
        self.check()
        with suppress(aiohttp.ClientError):
            return (await self.process.answer("/readyz"))[0] == 200
        return False
