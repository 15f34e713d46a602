"""`JobSet` as a contender: one controller process of this host, whose webhooks the API server reaches by loopback.

A JobSet of one replicated Job, Indexed, with as many completions as pods. Its Job's pods are made by the Job controller
of kube-controller-manager, so that both sets of limits count. TUNED also leaves out the headless Service that these
pods do not need, and the controller's debug log. Leader election is off in both: it would cost a run nothing but the
wait for the last one's Lease.
"""

import asyncio
import base64
import json
from asyncio import to_thread
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from batch_operator.cluster.certificates import KeyPair, new_authority, new_serving_certificate
from tests.bench.audit import Entry
from tests.bench.contender import Desk, Limits, Object, Shape, by_account
from tests.bench.contenders.jobset import program
from tests.bench.contenders.operator_objects import SUCCEEDED
from tests.bench.contenders.own_process import OwnProcess, free_ports
from tests.bench.own_writes import pod_spec
from tests.cluster.errors import ClusterError

ACCOUNT = "jobset"
GROUP_VERSION = "jobset.x-k8s.io/v1alpha2"
REPLICATED_JOB = "w"
HOST = "127.0.0.1"
_FLAGS = {
    Limits.SHIPPED: (),  # 500 QPS, burst 500
    Limits.TUNED: ("--kube-api-qps=5000", "--kube-api-burst=10000", "--zap-devel=false", "--zap-log-level=error"),
}
_CONTROLLERS = ("job-controller", "endpointslice-controller", "endpoint-controller")
"""Those of kube-controller-manager that work for a JobSet: for its Job and pods, and for its Service."""
_CONFIGURATIONS = tuple(
    f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations/jobset-{kind}-webhook-configuration"
    for kind in ("mutating", "validating")
)
_ADMISSION_TRIES = 100


class JobSet:
    kind = "JobSet"

    def __init__(self, limits: Limits = Limits.TUNED) -> None:
        self.limits = limits
        self.name = "JobSet" if limits is Limits.TUNED else "JobSet, shipped limits"
        self._controller: OwnProcess | None = None
        self._desk: Desk | None = None

    async def prepare(self, desk: Desk) -> None:
        installed = await to_thread(program.ensure)
        await desk.apply(installed.crd())

    async def start(self, desk: Desk, namespace: str, shape: Shape) -> None:
        self._desk = desk
        installed = await to_thread(program.ensure)
        await desk.limit_controller_manager(self.limits)
        webhooks, health = free_ports(2)
        directory = desk.directory / f"jobset-{namespace}"
        authority = new_authority(datetime.now(UTC))
        configuration = _write_files(directory, authority, webhooks, health)
        bundle = base64.b64encode(authority.certificate).decode()
        await desk.apply(*installed.webhooks(f"https://{HOST}:{webhooks}", bundle))
        argv = [str(installed.program), f"--config={configuration}", *_FLAGS[self.limits]]
        environment = {"KUBECONFIG": str(await to_thread(desk.kubeconfig, ACCOUNT))}
        self._controller = OwnProcess("jobset", argv, directory / "jobset.log", environment)
        await self._controller.wait_ready(f"http://{HOST}:{health}/readyz")
        await self._wait_admission(desk, namespace)

    async def _wait_admission(self, desk: Desk, namespace: str) -> None:
        """Until the API server asks the webhooks, of which it learns by a watch: without their defaults a JobSet is one
        that the controller does not expect."""
        assert self._controller is not None
        path = f"{self.collection(namespace)}?dryRun=All"
        for _ in range(_ADMISSION_TRIES):
            self._controller.check_alive()
            answer = await desk.ask("POST", path, self.manifest("dry-run", Shape(1)), may_fail=(500,))
            if "successPolicy" in answer.get("spec", {}):
                return
            await asyncio.sleep(0.1)
        raise ClusterError(f"the API server does not ask JobSet's webhooks; {self._controller.last_words()}")

    def check(self) -> None:
        if self._controller is not None:
            self._controller.check_alive()

    async def stop(self) -> None:
        if self._controller is not None:
            await self._controller.stop()
            self._controller = None
        if self._desk is not None:
            for path in _CONFIGURATIONS:  # with nobody behind them, no JobSet could be changed any more
                await self._desk.ask("DELETE", path, may_fail=(404,))
            self._desk = None

    @property
    def pids(self) -> Sequence[int]:
        return (self._controller.pid,) if self._controller else ()

    def collection(self, namespace: str) -> str:
        return f"/apis/{GROUP_VERSION}/namespaces/{namespace}/jobsets"

    def manifest(self, name: str, shape: Shape) -> Object:
        job = {
            "completions": shape.pods,
            "parallelism": shape.pods,
            "completionMode": "Indexed",
            "backoffLimit": 0,
            "template": {"spec": pod_spec(shape.seconds)},
        }
        spec: Object = {"replicatedJobs": [{"name": REPLICATED_JOB, "replicas": 1, "template": {"spec": job}}]}
        if self.limits is Limits.TUNED:
            spec["network"] = {"enableDNSHostnames": False}
        return {"apiVersion": GROUP_VERSION, "kind": self.kind, "metadata": {"name": name}, "spec": spec}

    def outcome(self, job: Object) -> str:
        status = job.get("status", {})
        state = status.get("terminalState", "")
        if state in ("", "Completed"):
            return SUCCEEDED if state else ""
        return f"{state}: {status.get('conditions')}"

    def is_own(self, entry: Entry) -> bool:
        return by_account(entry, ACCOUNT) or any(name in entry.agent for name in _CONTROLLERS)

    def may_end(self, entry: Entry) -> bool:
        return entry.resource == "jobsets/status" and by_account(entry, ACCOUNT)


def _write_files(directory: Path, authority: KeyPair, webhooks: int, health: int) -> Path:
    """The serving certificate and the controller's configuration, whose path is returned."""
    directory.mkdir(parents=True, exist_ok=True)
    serving = new_serving_certificate(authority, [HOST], datetime.now(UTC))
    (directory / "tls.crt").write_bytes(serving.certificate)
    (directory / "tls.key").touch(mode=0o600)
    (directory / "tls.key").write_bytes(serving.private_key)
    configuration = {
        "apiVersion": "config.jobset.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "webhook": {"host": HOST, "port": webhooks, "certDir": str(directory)},
        "health": {"healthProbeBindAddress": f"{HOST}:{health}"},
        "metrics": {"bindAddress": "0"},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
    }
    path = directory / "config.yaml"
    path.write_text(json.dumps(configuration))
    return path
