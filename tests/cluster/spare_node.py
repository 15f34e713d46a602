"""A second real node, real-1, for the tests that break nodes; they start it (tests/e2e/conftest.py) and end it.

Beside what every real node has, a D-Bus with a logind (graceful shutdown) and a device plugin run on it, and beside
the cluster's own node lifecycle controller one that calls a silent node NotReady after NOT_READY_SECONDS (kwokctl
gives the cluster's own 200 s). Pods get to the node only if they tolerate the taint node_files.SPARE_TAINT. Its
sandbox shares real-0's network, so that its pods reach the operator; what is done to it harms nothing else.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import device_plugin, logind, node, packages, processes, slots
from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl
from tests.cluster.layout import CHECKOUT, NodeLayout
from tests.cluster.processes import Process
from tests.cluster.state import State

NOT_READY_SECONDS = 20
"""Twice what lies between two of a kubelet's leases."""
_SOCKET = Path("/run/dbus/system_bus_socket")
"""Where programs look for the system's bus; /run is the sandbox's own."""


class SpareNode:
    """The handles that tests pull; `running` gives one."""

    def __init__(self, state: State, place: NodeLayout, kubectl: Kubectl) -> None:
        self._state, self._place, self._kubectl = state, place, kubectl
        self._programs = Path(state.get("binaries"))
        self._started: dict[str, Process] = {}

    @property
    def name(self) -> str:
        return self._place.name

    def start(self) -> None:
        node.start_runtime(self._place, self._state)
        images = self._place.state / "images.tar"
        node.export_images(node.sandbox_of(self._state), images)
        node.import_images(self._sandbox, images)
        images.unlink()
        self._run(["mkdir", "-p", str(_SOCKET.parent)])
        configuration = self._place.state / "dbus.conf"
        configuration.write_text(logind.bus_configuration(_SOCKET))
        self._start("dbus-daemon", ["dbus-daemon", f"--config-file={configuration}", "--nofork"])
        self._until("a bus", lambda: self._answers("test", "-S", str(_SOCKET)))
        self._start("logind", [sys.executable, str(Path(logind.__file__)), f"unix:path={_SOCKET}"])
        self._until("logind", lambda: "ready" in self._place.log("logind").read_text())
        self._start_lifecycle_controller()
        self._devices.mkdir(exist_ok=True)
        self.start_kubelet()

    def stop(self) -> None:
        """Ends it and removes its Node, whatever state they are in."""
        left = node.stop(self._place, self._state)
        self._kubectl.run("delete", "node", self.name, "--ignore-not-found", "--wait=false")
        if left:
            raise ClusterError(f"{self.name} could not be ended: {'; '.join(left)}")

    def start_kubelet(self) -> None:
        """Returns once the node is Ready and has its GPUs. The kubelet registers a Node that is not there, and
        forgets the device plugins of its former life."""
        program = str(device_plugin.build())
        self._kill("device-plugin")
        self._started["kubelet"] = node.start_kubelet(self._place, self._state, self._programs)
        node.wait_ready(self._kubectl, self._started["kubelet"], self.name)
        self._start("device-plugin", [program, f"--directory={self._devices}", f"--count={node.GPUS}"])
        self._kubectl.wait_until(f"the GPUs of {self.name}", 30, lambda k: self._gpus(k) == node.GPUS)

    def kill_kubelet(self) -> None:
        """The containers live on, and nobody tells the API server about them."""
        self._kill("kubelet")

    def shut_down(self, really: bool = True) -> None:
        """logind says that the machine goes down, or that it stays after all."""
        processes.send(self._started["logind"], signal.SIGUSR1 if really else signal.SIGUSR2)

    @contextmanager
    def devices(self, state: str) -> Iterator[None]:
        """Meanwhile the device plugin does what go/kubernetes/device_plugin says of `state`: refuse or unhealthy."""
        flag = self._devices / state
        flag.touch()
        try:
            yield
        finally:
            flag.unlink()

    @property
    def _devices(self) -> Path:
        return self._place.state / "devices"

    @property
    def _sandbox(self) -> Process:
        return node.sandbox_of(self._state, self._place)

    def _gpus(self, kubectl: Kubectl) -> int:
        return int(kubectl.get("node", self.name)["status"]["allocatable"].get("nvidia.com/gpu", "0"))

    def _start(self, name: str, argv: list[str]) -> None:
        argv = [*node.outer_prefix(self._sandbox), *argv]
        process = processes.start(self._place.own(name), argv, self._place.log(name))
        self._state.add_process(process)
        self._started[name] = process

    def _start_lifecycle_controller(self) -> None:
        name = node.LIFECYCLE_CONTROLLER
        argv = [
            str(self._programs / "kube-controller-manager"),
            f"--kubeconfig={self._place.cluster.kubeconfig}",
            "--controllers=node-lifecycle-controller",
            f"--node-monitor-grace-period={NOT_READY_SECONDS}s",
            "--node-monitor-period=1s",
            "--leader-elect=false",
            "--secure-port=0",
        ]
        process = processes.start(self._place.own(name), argv, self._place.log(name))
        self._state.add_process(process)

    def _kill(self, name: str) -> None:
        process = self._started.pop(name, None)
        if process:
            processes.kill([process])
            self._state.drop_process(process)

    def _run(self, argv: list[str]) -> None:
        subprocess.run([*node.prefix(self._sandbox), *argv], check=True)

    def _answers(self, *argv: str) -> bool:
        return subprocess.run([*node.prefix(self._sandbox), *argv], check=False).returncode == 0

    def _until(self, what: str, true: Callable[[], bool], seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                logs = [processes.last_lines(self._place.log(name)) for name in self._started]
                raise ClusterError(f"{self.name}: {what} was not there in {seconds:.0f} s; {'; '.join(logs)}")
            time.sleep(0.1)


@contextmanager
def running(kubectl: Kubectl) -> Iterator[SpareNode]:
    """The node, Ready, with this checkout's images; ends it. Raises ClusterError where the cluster is none of ours."""
    state = State.of_checkout()
    layout = slots.claimed(CHECKOUT)
    if layout is None or not state.get("with_node"):
        raise ClusterError("a node that tests may break needs the local cluster with a real node (root on Debian)")
    packages.ensure(packages.SPARE_NODE, "the node that tests may break")
    spare = SpareNode(state, NodeLayout(layout, 1), kubectl)
    spare.stop()  # what an interrupted run left
    try:
        spare.start()
        yield spare
    finally:
        spare.stop()
