"""`PlainKopf` as a contender: plain_operator.py under `kopf run`, which has no limits of its own to tune."""

import sys
from asyncio import gather, to_thread
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.bench.audit import Entry
from tests.bench.contender import Desk, Limits, Object, Shape, by_account
from tests.bench.contenders.operator_objects import SUCCEEDED
from tests.bench.contenders.own_process import OwnProcess, free_ports
from tests.bench.own_writes import pod_spec

ACCOUNT = "plain-kopf"
_DIRECTORY = Path(__file__).parent


class PlainKopf:
    name = "plain kopf"
    kind = "PlainJob"

    def __init__(self) -> None:
        self._operator: OwnProcess | None = None
        self._desk: Desk | None = None
        self._namespace = ""

    async def prepare(self, desk: Desk) -> None:
        await desk.apply(yaml.safe_load((_DIRECTORY / "crd.yaml").read_text()))

    async def start(self, desk: Desk, namespace: str, shape: Shape) -> None:
        self._desk, self._namespace = desk, namespace
        await desk.limit_controller_manager(Limits.TUNED)
        (port,) = free_ports(1)
        health = f"http://127.0.0.1:{port}/healthz"
        argv = [sys.executable, "-m", "kopf", "run", "--standalone", f"--namespace={namespace}", f"--liveness={health}"]
        argv.append(str(_DIRECTORY / "plain_operator.py"))
        log = desk.directory / f"plain-kopf-{namespace}.log"
        environment = {"KUBECONFIG": str(await to_thread(desk.kubeconfig, ACCOUNT))}
        self._operator = OwnProcess("plain-kopf", argv, log, environment)
        await self._operator.wait_ready(health)

    def check(self) -> None:
        if self._operator is not None:
            self._operator.check_alive()

    async def stop(self) -> None:
        if self._operator is not None:
            await self._operator.stop()
            self._operator = None
        if self._desk is not None:
            await self._release_jobs(self._desk)
            self._desk = None

    async def _release_jobs(self, desk: Desk) -> None:
        """A timer puts a finalizer on each job, with which the namespace could not go."""
        path = self.collection(self._namespace)
        jobs = (await desk.ask("GET", path, may_fail=(404,))).get("items", [])
        names = [job["metadata"]["name"] for job in jobs if job["metadata"].get("finalizers")]
        for start in range(0, len(names), 50):
            body = {"metadata": {"finalizers": None}}
            some = names[start : start + 50]
            await gather(*(desk.ask("PATCH", f"{path}/{name}", body, may_fail=(404,)) for name in some))

    @property
    def pids(self) -> Sequence[int]:
        return (self._operator.pid,) if self._operator else ()

    def collection(self, namespace: str) -> str:
        return f"/apis/plain.example.org/v1/namespaces/{namespace}/plainjobs"

    def manifest(self, name: str, shape: Shape) -> Object:
        spec = {"pods": shape.pods, "template": pod_spec(shape.seconds)}
        return {"apiVersion": "plain.example.org/v1", "kind": self.kind, "metadata": {"name": name}, "spec": spec}

    def outcome(self, job: Object) -> str:
        status = job.get("status", {})
        return {"Succeeded": SUCCEEDED, "Failed": f"failed: {status}"}.get(status.get("phase", ""), "")

    def is_own(self, entry: Entry) -> bool:
        return by_account(entry, ACCOUNT)

    def may_end(self, entry: Entry) -> bool:
        return entry.resource == "plainjobs/status" and by_account(entry, ACCOUNT)
