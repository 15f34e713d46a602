"""The limits: bare scripts that write what has to be written, and decide nothing (bare_process.py). Listed in
contenders.line_up."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from batch_operator.cluster.resource_paths import BATCH_JOBS
from tests.bench import own_writes
from tests.bench.audit import Entry
from tests.bench.contender import Desk, Object, Shape, by_account
from tests.bench.contenders import operator_objects
from tests.bench.processes import Child


@dataclass
class Bare:
    """`all_writes`: everything that this operator writes (0b); else its pods and the last patch of status (0a).
    `placement`: of its Pipeline's component, where its pods may not go anywhere."""

    name: str
    all_writes: bool
    kind: str = "BatchJob"
    placement: Mapping[str, Any] = field(default_factory=dict)
    _children: list[Child] = field(default_factory=list)

    async def prepare(self, desk: Desk) -> None:
        await desk.apply(*operator_objects.crds())

    async def start(self, desk: Desk, namespace: str, shape: Shape) -> None:
        script = asdict(own_writes.of(shape, **self.placement))
        if not self.all_writes:
            script |= {"configmap": "", "patches": ["", "", script["end"]]}
        path = desk.directory / f"script-{self.account}.json"
        path.write_text(json.dumps(script))
        child = await Child.start(
            self.name,
            "tests.bench.contenders.bare_process",
            [namespace, str(path)],
            desk.directory / f"{self.account}.log",
            {"KUBECONFIG": str(desk.kubeconfig(self.account))},
        )
        self._children.append(child)

    async def stop(self) -> None:
        while self._children:
            await self._children.pop().end()

    @property
    def account(self) -> str:
        return "bare-writes" if self.all_writes else "bare-limit"

    @property
    def pids(self) -> Sequence[int]:
        return [child.pid for child in self._children]

    def check(self) -> None:
        for child in self._children:
            child.check()

    def collection(self, namespace: str) -> str:
        return BATCH_JOBS.path(namespace)

    def manifest(self, name: str, shape: Shape) -> Object:
        return own_writes.manifest(name, shape)

    def outcome(self, job: Object) -> str:
        return operator_objects.outcome(job)

    def is_own(self, entry: Entry) -> bool:
        return by_account(entry, self.account)

    def may_end(self, entry: Entry) -> bool:
        return self.is_own(entry) and entry.resource == "batchjobs/status"
