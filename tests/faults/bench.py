"""`Bench`: what all plays on the real API server share: connections, the recorder, the zygote, a directory for logs."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from batch_operator.cluster.client import Client
from batch_operator.cluster.resource_paths import NAMESPACES, PRIORITY_CLASSES
from batch_operator.main import RECURSION_LIMIT
from tests.cluster import fake_nodes
from tests.faults.history import Recorder
from tests.faults.operator_process import Zygote
from tests.faults.upstream import Object, Upstream, until

NODES = "/api/v1/nodes"
HIGH_PRIORITY = "batch-operator-faults-high"


@dataclass
class Bench:
    """`id`: in the names of all that is made, so that two runs do not meet. `keep_logs`: somebody will want them."""

    id: str
    kubeconfig: str
    upstream: Upstream
    recorder: Recorder
    zygote: Zygote
    directory: Path
    keep_logs: bool = False

    async def make_namespace(self, name: str) -> None:
        """With what a pod needs."""
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await self.upstream.ask("POST", NAMESPACES.path(), made)
        account = f"{NAMESPACES.path(None, name)}/serviceaccounts/default"
        await until(lambda: self.upstream.exists(account), f"the service account of {name}")

    async def make_node(self, name: str, like: str = "") -> None:
        """`like`: the hostname by which pods choose it, its own by default."""
        node = fake_nodes.node(0)
        node["metadata"]["name"] = name
        node["metadata"]["labels"]["kubernetes.io/hostname"] = like or name
        await self.upstream.ask("POST", NODES, node)

    async def remove(self, namespaces: list[str], nodes: list[str]) -> None:
        for name in nodes:
            await self.upstream.ask("DELETE", f"{NODES}/{name}", may_fail=(404,))
        for name in namespaces:
            await self.upstream.ask("DELETE", NAMESPACES.path(None, name), may_fail=(404, 409))


@contextlib.asynccontextmanager
async def bench(kubeconfig: str) -> AsyncIterator[Bench]:
    """The operators' logs stay in the directory where something was found, or on the way out of an error."""
    sys.setrecursionlimit(RECURSION_LIMIT)  # some generated objects nest that deep
    number = uuid4().hex[:6]
    directory = Path(tempfile.mkdtemp(prefix=f"batch-faults-{number}-"))
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(await Client.connect(kubeconfig))
        upstream = await stack.enter_async_context(await Upstream.connect(kubeconfig))
        recorder = await stack.enter_async_context(Recorder(client))
        zygote = await stack.enter_async_context(Zygote())
        desk = Bench(number, kubeconfig, upstream, recorder, zygote, directory)
        await upstream.ask("POST", PRIORITY_CLASSES.path(), _high_priority(), may_fail=(409,))
        yield desk
        await upstream.ask("DELETE", PRIORITY_CLASSES.path(name=HIGH_PRIORITY), may_fail=(404,))
    if not desk.keep_logs:
        shutil.rmtree(directory)


def _high_priority() -> Object:
    meta = {"name": HIGH_PRIORITY}
    return {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": meta, "value": 100}


def custom(kind: str, name: str, spec: object, **metadata: object) -> Object:
    """An object of ours."""
    api_version = "batch-operator.dev/v1alpha1"
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}
