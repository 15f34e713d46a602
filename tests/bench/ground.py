"""`Ground`: the benchmark's own cluster, what all runs share on it, and what is made and removed around each.

A cluster beside the checkout's own one (tests/cluster/local.py): no real node, kwok's nodes with more GPUs than all
jobs ask for, the audit log told what to note, clients' limits out of the way. Used by the workloads; contenders see it
as `contender.Desk`.
"""

import asyncio
import ssl
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

from tests.bench import machine
from tests.bench.audit import AuditLog
from tests.bench.contender import ACCOUNTS, GPU, Limits, Object
from tests.bench.processes import cpu_seconds
from tests.cluster import control_plane, fake_nodes, local, slots
from tests.cluster.control_plane import Profile
from tests.cluster.kubectl import Kubectl
from tests.cluster.layout import CHECKOUT
from tests.cluster.state import State, exclusive
from tests.faults.upstream import Upstream, until

PLACE = CHECKOUT / "tests/bench"
"""Whose cluster it is, for slots and state: another than the checkout's."""
NODES = 50
PODS_PER_NODE = 1000
DELETED_AT_ONCE = 500
_GONE_SECONDS = 300.0
_ROOT_CA = "kube-root-ca.crt"
AUDIT_POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: None
  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*", "/version", "/metrics"]
- level: None
  resources:
  - group: ""
    resources: [nodes, nodes/status, endpoints, componentstatuses]
  - group: coordination.k8s.io
  - group: discovery.k8s.io
  - group: authorization.k8s.io
- level: Metadata
"""
_CONTROLLER_MANAGER = {
    Limits.TUNED: {"kube-api-qps": "5000", "kube-api-burst": "10000", "concurrent-job-syncs": "50"},
    Limits.SHIPPED: {"kube-api-qps": "20", "kube-api-burst": "30", "concurrent-job-syncs": "5"},
}
PROFILE = Profile(
    audit_policy=AUDIT_POLICY,
    flags={
        "kube-apiserver": {
            "audit-log-maxsize": "1000000",  # MiB; 0 means 100, and a log that begins anew in a run loses its times
            "delete-collection-workers": "8",  # between the runs
        },
        "kube-controller-manager": {
            **_CONTROLLER_MANAGER[Limits.TUNED],
            "terminated-pod-gc-threshold": "0",
            "leader-elect": "false",  # else a restart waits for its own Lease
            "concurrent-namespace-syncs": "20",
        },
        "kube-scheduler": {"kube-api-qps": "5000", "kube-api-burst": "10000", "leader-elect": "false"},
    },
    # of 2 cores, Go's collectors would else take a sixth, from all contenders alike
    environment={"GOGC": "400", "GOMEMLIMIT": str(machine.memory_bytes() // 4)},
    kwok_configuration=fake_nodes.bench_configuration_text,
)


@dataclass
class Ground:
    """Made by `ground()`."""

    state: State
    upstream: Upstream
    binaries: Path
    directory: Path
    kubectl: Kubectl
    audit_file: Path
    limits: Limits = Limits.TUNED
    _accounts: dict[str, Path] = field(default_factory=dict)
    _number: int = 0

    # -- for contenders

    def kubeconfig(self, account: str) -> Path:
        if account not in self._accounts:
            self._accounts[account] = self._make_account(account)
        return self._accounts[account]

    async def ask(self, method: str, path: str, body: Object | None = None, may_fail: tuple[int, ...] = ()) -> Object:
        return await self.upstream.ask(method, path, body, may_fail=may_fail)

    async def apply(self, *manifests: Object) -> None:
        await asyncio.to_thread(self._apply, manifests)
        for spec in (m["spec"] for m in manifests if m["kind"] == "CustomResourceDefinition"):
            path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}?limit=1"
            await until(partial(self.upstream.exists, path), f"{path} is served")  # Established comes before that

    async def limit_controller_manager(self, limits: Limits) -> None:
        if limits is self.limits:
            return
        await asyncio.to_thread(self._restart_controller_manager, limits)
        self.limits = limits

    # -- for workloads

    async def make_namespace(self) -> str:
        """A fresh one, with what a pod needs."""
        self._number += 1
        name = f"bench-{self._number}"
        await self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        await until(lambda: self.upstream.exists(account), f"the service account of {name}")
        return name

    async def empty(self, namespace: str, *collections: str, controlled: bool = False) -> None:
        """Deletes all that is in it; returns when it is gone. `collections`: of jobs, whose controller still runs where
        they are `controlled`, and would make their pods anew.

        Pods go before their jobs where nobody minds: else the garbage collector deletes them one by one. The namespace
        itself stays: its own deletion takes 20 s, in which the controller manager works for nobody.
        """
        batch_jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"  # their controller always runs
        for path in (*(collections if controlled else ()), batch_jobs):
            await self._delete_all(f"{path}?limit={DELETED_AT_ONCE}&propagationPolicy=Background")
        core = f"/api/v1/namespaces/{namespace}"
        await self._delete_all(f"{core}/pods?limit={DELETED_AT_ONCE}&gracePeriodSeconds=0")
        for kind in ("services", "events"):
            await self._delete_all(f"{core}/{kind}?limit={DELETED_AT_ONCE}")
        await self._delete_all(f"{core}/configmaps?limit={DELETED_AT_ONCE}&fieldSelector=metadata.name!={_ROOT_CA}")
        for path in collections:
            await self._delete_all(f"{path}?limit={DELETED_AT_ONCE}&propagationPolicy=Background")

    def audit(self) -> AuditLog:
        """From now on."""
        return AuditLog(self.audit_file)

    def cpu_seconds(self) -> dict[str, float]:
        """What each part of the control plane has computed so far."""
        return {process.name: cpu_seconds([process.pid]) for process in self.state.processes()}

    def forget_accounts(self) -> None:
        """Their kubeconfigs hold tokens: none is left among what is kept of a run."""
        while self._accounts:
            self._accounts.popitem()[1].unlink(missing_ok=True)

    # -- inside

    async def _delete_all(self, path: str) -> None:
        """10,000 at once take longer than one request may. Those with a finalizer stay until somebody took it."""

        async def empty() -> bool:
            return not (await self.upstream.ask("DELETE", path, may_fail=(404,))).get("items")

        await until(empty, f"everything of {path} is deleted", _GONE_SECONDS)

    def _apply(self, manifests: tuple[Object, ...]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=items)
        crds = [m["metadata"]["name"] for m in manifests if m["kind"] == "CustomResourceDefinition"]
        if crds:
            # `kubectl wait` gives up on a CRD that has no conditions yet
            self.kubectl.wait_until("the CRDs are established", 30, lambda client: _are_established(client, crds))

    def _make_account(self, account: str) -> Path:
        subject = {"kind": "ServiceAccount", "name": account, "namespace": ACCOUNTS}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        self._apply(
            (
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ACCOUNTS}},
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": ACCOUNTS}},
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "ClusterRoleBinding",
                    "metadata": {"name": f"bench-{account}"},
                    "roleRef": role,
                    "subjects": [subject],
                },
            )
        )
        token = self.kubectl.run("create", "token", account, "-n", ACCOUNTS, "--duration=24h").strip()
        config = yaml.safe_load(Path(self.kubectl.kubeconfig).read_text())
        current = next(c for c in config["contexts"] if c["name"] == config["current-context"])["context"]
        config["users"] = [{"name": account, "user": {"token": token}}]
        config["contexts"] = [{"name": "bench", "context": {"cluster": current["cluster"], "user": account}}]
        config["current-context"] = "bench"
        path = self.directory / f"kubeconfig-{account}"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path

    def _restart_controller_manager(self, limits: Limits) -> None:
        layout = slots.claimed(PLACE)
        assert layout is not None, "the cluster is up"
        control_plane.restart(self.state, "kube-controller-manager", _CONTROLLER_MANAGER[limits])
        port = layout.ports["kube-controller-manager"]
        self.kubectl.wait_until("the controller manager is ready", 60, lambda _: _is_ready(port))


def _are_established(client: Kubectl, crds: list[str]) -> bool:
    found = [client.get("crd", name).get("status") or {} for name in crds]
    states = [{c["type"]: c["status"] for c in status.get("conditions") or ()} for status in found]
    return all(state.get("Established") == "True" for state in states)


def _is_ready(port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it signs its own, and only its health is asked
    try:
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/healthz", context=context, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@asynccontextmanager
async def ground(directory: Path) -> AsyncIterator[Ground]:
    """A fresh cluster, ended afterwards, also after a failure."""
    state = State.of_checkout(PLACE)
    with exclusive(f"{PLACE.name}-bench", state.directory.parent):
        try:
            _up(state)  # not in a thread: one that goes on after a cancel would start what was just ended
            kubectl = local.kubectl_of(state)
            async with await Upstream.connect(str(kubectl.kubeconfig)) as upstream:
                made = Ground(
                    state, upstream, Path(state.get("binaries")), directory, kubectl, Path(state.get("logs")["audit"])
                )
                await asyncio.to_thread(_make_nodes, kubectl)
                try:
                    yield made
                finally:
                    made.forget_accounts()
        finally:
            local.down(state, PLACE)


def _up(state: State) -> None:
    if state.get("phase"):
        local.down(state, PLACE)  # what an interrupted run left
    local.up(state, 0, False, PROFILE, PLACE)


def _make_nodes(kubectl: Kubectl) -> None:
    items = []
    for number in range(NODES):
        node = fake_nodes.node(number)
        del node["spec"]["taints"]
        for amounts in (node["status"]["capacity"], node["status"]["allocatable"]):
            amounts |= {"pods": str(PODS_PER_NODE), GPU: str(PODS_PER_NODE)}
        items.append(node)
    kubectl.run("create", "-f", "-", stdin={"apiVersion": "v1", "kind": "List", "items": items})

    def ready(client: Kubectl) -> bool:
        found = client.get("nodes")["items"]
        states = [c["status"] for n in found for c in n["status"].get("conditions", ()) if c["type"] == "Ready"]
        return states == ["True"] * NODES and not any(n["spec"].get("taints") for n in found)

    kubectl.wait_until("all nodes are ready", 60, ready)
