"""The cluster on this machine: kwokctl's control plane, kwok's fake GPU nodes and, as root, one real node."""

import shutil
import threading
from pathlib import Path

from tests.cluster import binaries, control_plane, fake_nodes, node, packages, processes, slots
from tests.cluster.control_plane import Profile
from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl
from tests.cluster.layout import CHECKOUT, REAL_NODE, Layout, NodeLayout
from tests.cluster.progress import say, step
from tests.cluster.state import State

KIND = "local"


def up(
    state: State,
    fake_node_count: int,
    with_node: bool,
    profile: Profile = control_plane.ORDINARY,
    checkout: Path = CHECKOUT,
) -> None:
    """Brings the cluster up, or does nothing if it is; what an interrupted `up` left is ended first.

    `checkout`: whose cluster it is; a path below the checkout makes another one beside the checkout's own.
    """
    if state.get("phase") == "up" and state.get("with_node") == with_node:
        trouble = problems(state)
        if not trouble:
            say("the cluster is up already")
            return
        say(f"the cluster is up, but {'; '.join(trouble)}: starting it anew")
    if state.get("phase"):
        down(state, checkout)
    programs = binaries.ensure()
    if with_node:
        packages.ensure(packages.NODE, "the real node")
    state.set(kind=KIND, phase="starting", with_node=with_node, binaries=str(programs))
    layout = slots.claim(checkout)
    layout.make_data_directory()
    _start(layout, state, programs, with_node, profile)
    kubectl = kubectl_of(state)
    fake_nodes.create(kubectl, fake_node_count)
    if with_node:
        with step(f"waiting for the real node {REAL_NODE}"):
            node.wait_ready(kubectl, next(p for p in state.processes() if p.name == "kubelet"))
            node.patch_gpus(kubectl, REAL_NODE)
    _wait_for_defaults(kubectl)
    state.set(phase="up", connection=_connection(layout, programs, with_node), logs=_other_logs(layout))
    say(f"the cluster is up: {fake_node_count} fake nodes of 8 GPUs{' and the real node' if with_node else ''}")


def _start(layout: Layout, state: State, programs: Path, with_node: bool, profile: Profile) -> None:
    """The control plane and the node's runtime at the same time; both need seconds of waiting."""
    trouble: list[ClusterError] = []

    def runtime() -> None:
        try:
            node.start_runtime(NodeLayout(layout), state)
        except ClusterError as problem:
            trouble.append(problem)

    thread = threading.Thread(target=runtime)
    if with_node:
        thread.start()
    try:
        with step("starting the control plane" + (" and the real node's runtime" if with_node else "")):
            control_plane.start(layout, state, programs, with_node, profile)
    finally:
        if with_node:
            thread.join()
    if trouble:
        raise trouble[0]
    if with_node:
        with step("starting kube-proxy and the kubelet"):
            node.start_kubelet(NodeLayout(layout), state, programs)
            node.start_proxy(NodeLayout(layout), state, programs)


def _connection(layout: Layout, programs: Path, with_node: bool) -> dict[str, str]:
    return {
        "kind": KIND,
        "kubeconfig": str(layout.kubeconfig),
        "real_node": REAL_NODE if with_node else "",
        "node_data_dir": str(layout.data) if with_node else "",
        "host_address": layout.host_address if with_node else "",
        "binaries": str(programs),
    }


def _other_logs(layout: Layout) -> dict[str, str]:
    logs = {"kwokctl": layout.logs / "kwokctl.log", "audit": layout.control_plane / "logs" / "audit.log"}
    return {name: str(path) for name, path in logs.items()}


def _wait_for_defaults(kubectl: Kubectl) -> None:
    """Until then a pod is refused, because its namespace has no service account yet."""
    kubectl.wait_until("the default service account", 30, lambda k: bool(k.get("serviceaccount", "default")))


def down(state: State, checkout: Path = CHECKOUT) -> None:
    """Ends everything that `up` started and removes its state, but for the results in the data directory."""
    layout = slots.claimed(checkout)
    if layout is None:
        state.forget()
        return
    say("ending the cluster's processes")
    places = (NodeLayout(layout, 1), NodeLayout(layout)) if state.get("with_node") else ()
    left = [trouble for place in places for trouble in node.stop(place, state)]
    # kwokctl, if an interrupted `up` left it, comes before what it has started and not recorded
    stayed = processes.kill(state.processes()) + processes.kill(control_plane.started(layout))
    left += [f"{p.name} (pid {p.pid}) does not end" for p in stayed]
    if left:
        raise ClusterError(f"not everything could be ended: {'; '.join(left)}; run `make cluster-down` again")
    for path in layout.state.iterdir():
        if path == layout.data:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "cluster.json":
            path.unlink()
    slots.release(checkout)
    state.forget()  # last: until here a repeated `down` knows what to end
    if layout.data.is_dir() and any(layout.data.iterdir()):
        say(f"the results in {layout.data} are left where they are")
    else:
        shutil.rmtree(layout.state, ignore_errors=True)


def kubectl_of(state: State) -> Kubectl:
    return Kubectl(Path(state.get("binaries")) / "kubectl", state.directory / "kubeconfig")


def problems(state: State) -> list[str]:
    """What is wrong with a cluster that should be up, one short text each."""
    found = [f"{p.name} ended (log: {p.log})" for p in state.processes() if not processes.alive(p)]
    if found:
        return found
    kubectl = kubectl_of(state)
    try:
        kubectl.run("get", "--raw", "/readyz", timeout_seconds=5)
        if state.get("with_node") and not node.ready(kubectl):
            found.append(f"node {REAL_NODE} is not Ready")
    except ClusterError as problem:
        found.append(str(problem))
    return found
