"""The real node: containerd, kubelet and kube-proxy in a sandbox of namespaces of their own; called by local.py.

The sandbox (node_init.py) has its own pid, mount and network namespace and its own cgroup, so nothing of it meets
the host's containerd, another checkout's node, or outlives it. Root only.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster import archives, cgroups, fake_nodes, network, node_files, processes
from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl
from tests.cluster.layout import REAL_NODE, NodeLayout
from tests.cluster.processes import Process
from tests.cluster.state import State

GPUS = 4
SANDBOX = "node-sandbox"
LIFECYCLE_CONTROLLER = "node-lifecycle-controller"
OF_SPARE = ("dbus-daemon", "logind", "device-plugin", LIFECYCLE_CONTROLLER)
"""What only a node that tests break has (spare_node.py)."""
_READY_SECONDS = 90
_POLL_SECONDS = 0.1
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def start_runtime(place: NodeLayout, state: State) -> None:
    """Sandbox, network and containerd with the pods' sandbox image; needs no control plane yet.

    Node 0 brings the network; any other joins it.
    """
    _write_files(place)
    cgroups.create(place.cgroup)
    made = [str(path) for path in _mount_points(place).values() if not Path(path).exists()]
    state.set(made_directories=[*state.get("made_directories", []), *made])  # the host sees these mount points, empty
    sandbox = _start_sandbox(place, state)
    inside = prefix(sandbox)
    if not place.number:
        network.connect(place.cluster, sandbox.pid, inside)
    containerd = processes.start(
        place.own("containerd"),
        [*inside, "containerd", "--config", f"{place.state}/containerd.toml"],
        place.log("containerd"),
        address=node_files.SOCKET,
    )
    state.add_process(containerd)
    _wait(containerd, 30, lambda: _ctr_answers(inside))
    busybox = busybox_archive(place.state / "busybox.tar")
    import_images(sandbox, busybox)


def start_kubelet(place: NodeLayout, state: State, binaries: Path) -> Process:
    """Does not wait for anything: wait_ready does."""
    labels = {**fake_nodes.gpu_labels(), "batch-operator.dev/real": "true"}
    argv = [
        *prefix(sandbox_of(state, place)),
        # nsenter stays its parent, and is what we know the pid of
        *("setpriv", "--pdeathsig=KILL"),
        str(binaries / "kubelet"),
        f"--config={place.state}/kubelet.json",
        f"--kubeconfig={place.cluster.node_kubeconfig}",
        f"--root-dir={node_files.KUBELET_DIRECTORY}",
        f"--hostname-override={place.name}",
        f"--node-ip={place.cluster.node_address}",
        "--node-labels=" + ",".join(f"{key}={value}" for key, value in labels.items()),
    ]
    address = f"{place.cluster.node_address}:{place.kubelet_port}"
    kubelet = processes.start(place.own("kubelet"), argv, place.log("kubelet"), address=address)
    state.add_process(kubelet)
    return kubelet


def start_proxy(place: NodeLayout, state: State, binaries: Path) -> None:
    """Returns once kube-proxy has its rules, for which it waits for the node's object.

    No pod can exist yet, and if one did: its calls end at the namespace's unreachable route (network.py).
    """
    inside = prefix(sandbox_of(state, place))
    argv = [*inside, str(binaries / "kube-proxy"), f"--config={place.state}/kube-proxy.json"]
    address = f"{place.cluster.node_address}:{node_files.PROXY_HEALTH_PORT}"
    proxy = processes.start("kube-proxy", argv, place.log("kube-proxy"), address=address)
    state.add_process(proxy)
    _wait(proxy, 60, lambda: _proxy_has_rules(inside))


def wait_ready(kubectl: Kubectl, kubelet: Process | None, name: str = REAL_NODE) -> None:
    """Waits for the node. Raises ClusterError, with the end of the kubelet's log where it is one of ours."""
    try:
        kubectl.wait_until(f"node {name} Ready", _READY_SECONDS, lambda k: ready(k, name))
    except ClusterError as problem:
        log = "; " + processes.last_lines(Path(kubelet.log)) if kubelet else ""
        raise ClusterError(f"{problem}{log}") from None


def ready(kubectl: Kubectl, name: str = REAL_NODE) -> bool:
    conditions = kubectl.get("node", name)["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def patch_gpus(kubectl: Kubectl, name: str) -> None:
    """A GPU that is none: the kubelet keeps what the status says of resources that it does not know."""
    gpus = {"nvidia.com/gpu": str(GPUS)}
    patch = json.dumps({"status": {"capacity": gpus, "allocatable": gpus}})
    kubectl.run("patch", "node", name, "--subresource=status", "--type=merge", "-p", patch)


def import_images(sandbox: Process, archive: Path) -> None:
    """Loads a docker or OCI archive into the node; raises ClusterError with containerd's words."""
    _ctr(prefix(sandbox), "images", "import", str(archive))


def tag_image(sandbox: Process, name: str, other: str) -> None:
    """The node has that image under another name too."""
    _ctr(prefix(sandbox), "images", "tag", "--force", name, other)


def export_images(sandbox: Process, archive: Path) -> None:
    """Writes this project's images as the node has them."""
    names = sorted(name for name in image_names(sandbox) if name.startswith("localhost/batch-operator/"))
    _ctr(prefix(sandbox), "images", "export", str(archive), *names)


def image_names(sandbox: Process) -> set[str]:
    return set(_ctr(prefix(sandbox), "images", "ls", "-q").split())


def prefix(sandbox: Process) -> list[str]:
    """argv that runs a program inside the sandbox."""
    return [*outer_prefix(sandbox), f"--pid=/proc/{sandbox.pid}/ns/pid_for_children"]


def outer_prefix(sandbox: Process) -> list[str]:
    """The same but for its pids: the process started is the program itself, takes signals, and outlives the sandbox."""
    ns = f"/proc/{sandbox.pid}/ns"
    return ["nsenter", f"--mount={ns}/mnt", f"--net={ns}/net"]


def stop(place: NodeLayout, state: State) -> list[str]:
    """Ends the node and removes what it leaves; returns what could not be removed, in words."""
    names = {place.own(name) for name in (SANDBOX, "containerd", "kubelet", "kube-proxy", *OF_SPARE)}
    mine = [p for p in state.processes() if p.name in names]
    left = processes.kill([p for p in mine if p.name == place.own(SANDBOX)])
    left += processes.kill([p for p in mine if p.name != place.own(SANDBOX)])
    for process in mine:
        if process not in left:
            state.drop_process(process)
    problems = [f"{p.name} (pid {p.pid}) does not end" for p in left]
    problems += [f"cgroup {path} cannot be removed" for path in cgroups.remove(place.cgroup)]
    shutil.rmtree(place.state, ignore_errors=True)
    if place.number:
        return problems
    network.disconnect(place.cluster)
    for made in state.get("made_directories", []):
        if Path(made).is_dir() and not any(Path(made).iterdir()):
            Path(made).rmdir()
    return problems


def busybox_archive(path: Path) -> Path:
    """Writes the images `pause:1` and `busybox:1` of archives.py; needs a statically linked busybox."""
    program = shutil.which("busybox")
    if not program:
        raise ClusterError("the pods' sandbox needs busybox: install busybox-static")
    layer = archives.busybox_layer(Path(program).read_bytes())
    entrypoints = {
        node_files.SANDBOX_IMAGE: ["/bin/busybox", "sleep", "2147483647"],
        archives.BUSYBOX_IMAGE: ["/bin/sh"],
    }
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    path.write_bytes(archives.docker_archive(layer, entrypoints, architecture))
    return path


def sandbox_of(state: State, place: NodeLayout | None = None) -> Process:
    """The living sandbox of `place`, or of node 0; raises ClusterError if there is none."""
    name = place.own(SANDBOX) if place else SANDBOX
    found = [p for p in state.processes() if p.name == name and processes.alive(p)]
    if not found:
        raise ClusterError("the real node's sandbox does not run: run `make cluster-up`")
    return found[0]


def _mount_points(place: NodeLayout) -> dict[Path, str]:
    return {
        place.state / "kubelet": node_files.KUBELET_DIRECTORY,
        place.state / "container-logs": "/var/log/containers",
        place.state / "cni-cache": "/var/lib/cni",
    }


def _write_files(place: NodeLayout) -> None:
    (place.state / "cni").mkdir(parents=True, exist_ok=True)
    for source in _mount_points(place):
        source.mkdir(exist_ok=True)
    snapshotter = "native" if _on_overlay(place.state) else "overlayfs"
    texts = {
        "containerd.toml": node_files.containerd(place, snapshotter),
        "kubelet.json": json.dumps(node_files.kubelet(place), indent=1),
        "kube-proxy.json": json.dumps(node_files.kube_proxy(place.cluster), indent=1),
        "cni/10-batch-operator.conflist": json.dumps(network.cni_configuration(place), indent=1),
        "resolv.conf": "",
    }
    for name, text in texts.items():
        (place.state / name).write_text(text)


def _on_overlay(path: Path) -> bool:
    """overlayfs cannot lie on overlayfs, as it would inside another container."""
    answer = subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True, check=False)
    return "overlay" in answer.stdout


def _start_sandbox(place: NodeLayout, state: State) -> Process:
    flag = place.state / "sandbox-ready"
    flag.unlink(missing_ok=True)
    specification = place.state / "sandbox.json"
    binds = {str(source): target for source, target in _mount_points(place).items()}
    specification.write_text(json.dumps({"binds": binds, "ready": str(flag)}))
    init = [sys.executable, str(Path(__file__).with_name("node_init.py")), str(specification)]
    unshare = ["unshare", "--fork", "--pid", "--mount", "--propagation=private", "--kill-child=SIGKILL"]
    if place.number:
        argv = ["nsenter", f"--net=/proc/{sandbox_of(state).pid}/ns/net", *unshare, *init]
    else:
        argv = [*unshare, "--net", *init]
    sandbox = processes.start(place.own(SANDBOX), argv, place.log(SANDBOX))
    state.add_process(sandbox)
    _wait(sandbox, 20, flag.exists)
    return sandbox


def _wait(process: Process, seconds: float, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if not processes.alive(process):
            raise ClusterError(f"{process.name} ended: {processes.last_lines(Path(process.log))}")
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{process.name} was not ready in {seconds:.0f} s: {processes.last_lines(Path(process.log))}"
            )
        time.sleep(_POLL_SECONDS)


def _ctr_answers(inside: list[str]) -> bool:
    return _ctr_call(inside, "version").returncode == 0


def _ctr(inside: list[str], *arguments: str) -> str:
    result = _ctr_call(inside, *arguments)
    if result.returncode:
        raise ClusterError(f"ctr {' '.join(arguments)}: {result.stderr.strip()[-600:]}")
    return result.stdout


def _ctr_call(inside: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [*inside, "ctr", "--address", node_files.SOCKET, "--namespace", "k8s.io", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})


def _proxy_has_rules(inside: list[str]) -> bool:
    argv = [*inside, "nft", "list", "chain", "ip", "kube-proxy", "services"]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
