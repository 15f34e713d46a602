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
from tests.cluster.layout import REAL_NODE, Layout
from tests.cluster.processes import Process
from tests.cluster.state import State

GPUS = 4
SANDBOX = "node-sandbox"
_READY_SECONDS = 90
_POLL_SECONDS = 0.1
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def start_runtime(layout: Layout, state: State) -> None:
    """Sandbox, network and containerd with the pods' sandbox image; needs no control plane yet."""
    _write_files(layout)
    cgroups.create(layout.cgroup)
    made = [str(path) for path in _mount_points(layout).values() if not Path(path).exists()]
    state.set(made_directories=made)  # the host sees the empty mount points: `down` removes those that we made
    sandbox = _start_sandbox(layout, state)
    inside = prefix(sandbox)
    network.connect(layout, sandbox.pid, inside)
    containerd = processes.start(
        "containerd",
        [*inside, "containerd", "--config", f"{layout.node_state}/containerd.toml"],
        layout.logs / "containerd.log",
        address=node_files.SOCKET,
    )
    state.add_process(containerd)
    _wait(containerd, 30, lambda: _ctr_answers(inside))
    busybox = busybox_archive(layout.node_state / "busybox.tar")
    import_images(sandbox, busybox)


def start_agents(layout: Layout, state: State, binaries: Path) -> None:
    """The kubelet and kube-proxy; returns once kube-proxy has its rules, for which it waits for the node's object.

    No pod can exist yet, and if one did: its calls end at the namespace's unreachable route (network.py).
    """
    inside = prefix(sandbox_of(state))
    labels = {**fake_nodes.gpu_labels(), "batch-operator.dev/real": "true"}
    kubelet_flags = [
        f"--config={layout.node_state}/kubelet.json",
        f"--kubeconfig={layout.node_kubeconfig}",
        f"--root-dir={node_files.KUBELET_DIRECTORY}",
        f"--hostname-override={REAL_NODE}",
        f"--node-ip={layout.node_address}",
        "--node-labels=" + ",".join(f"{key}={value}" for key, value in labels.items()),
    ]
    agents = {
        "kubelet": (kubelet_flags, node_files.KUBELET_PORT),
        "kube-proxy": ([f"--config={layout.node_state}/kube-proxy.json"], node_files.PROXY_HEALTH_PORT),
    }
    for name, (flags, port) in agents.items():
        argv = [*inside, str(binaries / name), *flags]
        address = f"{layout.node_address}:{port}"
        state.add_process(processes.start(name, argv, layout.logs / f"{name}.log", address=address))
    proxy = next(p for p in state.processes() if p.name == "kube-proxy")
    _wait(proxy, 60, lambda: _proxy_has_rules(inside))


def wait_ready(kubectl: Kubectl, state: State, name: str = REAL_NODE) -> None:
    """Waits for the node, then gives it GPUs that are none. Raises ClusterError with the end of the kubelet's log."""
    try:
        kubectl.wait_until(f"node {name} Ready", _READY_SECONDS, lambda k: ready(k, name))
    except ClusterError as problem:
        log = next((p.log for p in state.processes() if p.name == "kubelet"), None)
        raise ClusterError(f"{problem}{'; ' + processes.last_lines(Path(log)) if log else ''}") from None
    patch_gpus(kubectl, name)


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


def image_names(sandbox: Process) -> set[str]:
    return set(_ctr(prefix(sandbox), "images", "ls", "-q").split())


def prefix(sandbox: Process) -> list[str]:
    """argv that runs a program inside the sandbox."""
    ns = f"/proc/{sandbox.pid}/ns"
    return ["nsenter", f"--mount={ns}/mnt", f"--net={ns}/net", f"--pid={ns}/pid_for_children"]


def stop(layout: Layout, state: State) -> list[str]:
    """Ends the node and removes what it leaves; returns what could not be removed, in words."""
    names = {SANDBOX, "containerd", "kubelet", "kube-proxy"}
    mine = [p for p in state.processes() if p.name in names]
    left = processes.kill([p for p in mine if p.name == SANDBOX])
    left += processes.kill([p for p in mine if p.name != SANDBOX])
    problems = [f"{p.name} (pid {p.pid}) does not end" for p in left]
    problems += [f"cgroup {path} cannot be removed" for path in cgroups.remove(layout.cgroup)]
    network.disconnect(layout)
    shutil.rmtree(layout.node_state, ignore_errors=True)
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


def sandbox_of(state: State) -> Process:
    """The living sandbox; raises ClusterError if there is none."""
    found = [p for p in state.processes() if p.name == SANDBOX and processes.alive(p)]
    if not found:
        raise ClusterError("the real node's sandbox does not run: run `make cluster-up`")
    return found[0]


def _mount_points(layout: Layout) -> dict[Path, str]:
    return {
        layout.node_state / "kubelet": node_files.KUBELET_DIRECTORY,
        layout.node_state / "container-logs": "/var/log/containers",
        layout.node_state / "cni-cache": "/var/lib/cni",
    }


def _write_files(layout: Layout) -> None:
    (layout.node_state / "cni").mkdir(parents=True, exist_ok=True)
    for source in _mount_points(layout):
        source.mkdir(exist_ok=True)
    snapshotter = "native" if _on_overlay(layout.node_state) else "overlayfs"
    texts = {
        "containerd.toml": node_files.containerd(layout, snapshotter),
        "kubelet.json": json.dumps(node_files.kubelet(layout), indent=1),
        "kube-proxy.json": json.dumps(node_files.kube_proxy(layout), indent=1),
        "cni/10-batch-operator.conflist": json.dumps(network.cni_configuration(layout), indent=1),
        "resolv.conf": "",
    }
    for name, text in texts.items():
        (layout.node_state / name).write_text(text)


def _on_overlay(path: Path) -> bool:
    """overlayfs cannot lie on overlayfs, as it would inside another container."""
    answer = subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True, check=False)
    return "overlay" in answer.stdout


def _start_sandbox(layout: Layout, state: State) -> Process:
    flag = layout.node_state / "sandbox-ready"
    flag.unlink(missing_ok=True)
    specification = layout.node_state / "sandbox.json"
    binds = {str(source): target for source, target in _mount_points(layout).items()}
    specification.write_text(json.dumps({"binds": binds, "ready": str(flag)}))
    init = [sys.executable, str(Path(__file__).with_name("node_init.py")), str(specification)]
    namespaces = ["--fork", "--pid", "--net", "--mount", "--propagation=private", "--kill-child=SIGKILL"]
    sandbox = processes.start(SANDBOX, ["unshare", *namespaces, *init], layout.logs / f"{SANDBOX}.log")
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
