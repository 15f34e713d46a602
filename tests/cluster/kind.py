"""The cluster by kind, for machines with Docker or Podman; kwok runs beside it for the fake GPU nodes.

Could not be run where it was written (docs/adr says so); the commands are kind's documented ones.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.cluster import binaries, fake_nodes, node, processes
from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl
from tests.cluster.layout import CHECKOUT, SLOTS, Layout, checkout_id, preferred_slot
from tests.cluster.progress import say, step
from tests.cluster.state import State

KIND = "kind"
_ENGINES = ("docker", "podman")
_NETWORK = "kind"


def engine() -> str:
    """docker or podman, whichever's daemon answers; a client alone is not enough. "" for neither."""
    for name in _ENGINES:
        if shutil.which(name):
            try:
                answer = subprocess.run([name, "info"], capture_output=True, check=False, timeout=20)
            except subprocess.TimeoutExpired:
                continue
            if answer.returncode == 0:
                return name
    return ""


def cluster_name() -> str:
    return f"batch-operator-{checkout_id(CHECKOUT)}"


def configuration(data: Path) -> dict[str, object]:
    """One node that is control plane and worker; `data` is the same path on it, as BATCH_NODE_DATA_DIR promises."""
    mount = {"hostPath": str(data), "containerPath": str(data)}
    control_plane = {"role": "control-plane", "labels": fake_nodes.gpu_labels(), "extraMounts": [mount]}
    return {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": [control_plane]}


def up(state: State, fake_node_count: int, with_engine: str) -> None:
    """Creates the cluster, or does nothing if it is up; an interrupted one is deleted first."""
    if state.get("phase") == "up" and not problems(state):
        say("the cluster is up already")
        return
    if state.get("phase"):
        down(state)
    programs = binaries.ensure(binaries.FOR_KIND)
    kind = shutil.which("kind") or str(binaries.ensure((binaries.KIND,)) / "kind")
    layout = Layout(CHECKOUT, preferred_slot(CHECKOUT) % SLOTS + 1)  # only its directories: kind picks the addresses
    state.set(kind=KIND, phase="starting", engine=with_engine, kind_program=kind, binaries=str(programs))
    layout.make_data_directory()
    config = layout.state / "kind.json"
    config.write_text(json.dumps(configuration(layout.data)))
    with step(f"kind create cluster {cluster_name()} (pulls the node image once)"):
        files = ("--config", str(config), "--kubeconfig", str(layout.kubeconfig))
        _kind(state, "create", "cluster", *files, "--wait=120s")
    kubectl = Kubectl(programs / "kubectl", layout.kubeconfig)
    real_node = kubectl.get("nodes")["items"][0]["metadata"]["name"]
    node.wait_ready(kubectl, None, real_node)
    node.patch_gpus(kubectl, real_node)
    _start_kwok(layout, state, programs)
    fake_nodes.create(kubectl, fake_node_count)
    connection = {
        "kind": KIND,
        "kubeconfig": str(layout.kubeconfig),
        "real_node": real_node,
        "node_data_dir": str(layout.data),
        "host_address": _gateway(with_engine),
        "binaries": str(programs),
    }
    state.set(phase="up", connection=connection)
    say(f"the kind cluster is up: {real_node} and {fake_node_count} fake nodes")


def down(state: State) -> None:
    """Deletes the cluster and ends kwok; results stay in the data directory."""
    left = processes.stop(state.processes(), 5.0)
    if state.get("kind_program"):
        _kind(state, "delete", "cluster", "--kubeconfig", str(state.directory / "kubeconfig"))
    if left:
        raise ClusterError(f"kwok (pid {left[0].pid}) does not end; run `make cluster-down` again")
    for path in ("kubeconfig", "kind.json", "kwok.yaml"):
        (state.directory / path).unlink(missing_ok=True)
    shutil.rmtree(state.directory / "logs", ignore_errors=True)
    state.forget()


def load_images(state: State, archive: Path) -> None:
    """Loads a docker archive into the node."""
    _kind(state, "load", "image-archive", str(archive))


def problems(state: State) -> list[str]:
    found = [f"{p.name} ended (log: {p.log})" for p in state.processes() if not processes.alive(p)]
    kubectl = Kubectl(Path(state.get("binaries")) / "kubectl", state.directory / "kubeconfig")
    try:
        name = state.get("connection", {}).get("real_node", "")
        if not node.ready(kubectl, name):
            found.append(f"node {name} is not Ready")
    except ClusterError as problem:
        found.append(str(problem))
    return found


def _start_kwok(layout: Layout, state: State, programs: Path) -> None:
    config = layout.state / "kwok.yaml"
    config.write_text(fake_nodes.configuration_text(programs / "stages.yaml"))
    argv = [str(programs / "kwok"), f"--kubeconfig={layout.kubeconfig}", f"--config={config}"]
    argv += ["--manage-all-nodes=false", f"--manage-nodes-with-annotation-selector={fake_nodes.SELECTOR}"]
    argv += ["--node-lease-duration-seconds=40"]
    state.add_process(processes.start("kwok-controller", argv, layout.logs / "kwok-controller.log"))


def _gateway(with_engine: str) -> str:
    """The address of this host on kind's network, by which the node's pods reach a process here; IPv4."""
    result = subprocess.run([with_engine, "network", "inspect", _NETWORK], capture_output=True, text=True, check=False)
    network = json.loads(result.stdout or "[{}]")[0]
    # Docker calls it IPAM.Config[].Gateway, Podman subnets[].gateway
    blocks = network.get("IPAM", {}).get("Config") or network.get("subnets") or []
    gateways = [block.get("Gateway") or block.get("gateway") or "" for block in blocks]
    return next((address for address in gateways if "." in address), "")


def _kind(state: State, *arguments: str) -> None:
    environment = dict(os.environ)
    if state.get("engine") == "podman":
        environment["KIND_EXPERIMENTAL_PROVIDER"] = "podman"
    argv = [state.get("kind_program"), *arguments, "--name", cluster_name()]
    result = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ClusterError(f"{' '.join(argv)}: {result.stderr.strip()[-1500:]}")
