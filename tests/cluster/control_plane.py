"""etcd, API server, controller manager, scheduler and kwok by kwokctl's binary runtime; called by local.py.

kwokctl makes the certificates, starts the programs and writes their pids; from then on we watch and end them
ourselves (kwokctl would signal whatever process has the pid by then).
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster import fake_nodes, processes
from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout
from tests.cluster.processes import Process
from tests.cluster.state import State

_NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok-controller")
_AUDIT_POLICY = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n"


@dataclass(frozen=True)
class Profile:
    """How a cluster of another purpose (the benchmark's) differs from the ordinary one. `flags`: by component, after
    those that it has: none that may be given several times."""

    audit_policy: str = _AUDIT_POLICY
    flags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of every program, beside its own."""
    kwok_configuration: Callable[[Path], str] = fake_nodes.configuration_text
    """kwok's options and Stages, from its own stages' path."""


# By default one intruder may take two pods: the scheduler evicts behind its back, and looks for room again meanwhile.
ORDINARY = Profile(flags={"kube-scheduler": {"feature-gates": "SchedulerAsyncPreemption=false"}})


def configuration(layout: Layout, binaries: Path, with_node: bool, profile: Profile = ORDINARY) -> dict[str, Any]:
    """The KwokctlConfiguration; with a real node the API server is also reached by the node's cable."""
    ports = layout.ports

    def more(component: str) -> list[dict[str, Any]]:
        return _flags(dict(profile.flags.get(component, {})))

    apiserver = {"service-cluster-ip-range": layout.service_range}
    if with_node:
        pki = layout.control_plane / "pki"
        apiserver |= {
            "advertise-address": layout.host_address,
            # pods' logs, exec and the node proxy go to the kubelet by its address, with kwokctl's admin certificate
            "kubelet-preferred-address-types": "InternalIP",
            "kubelet-client-certificate": str(pki / "admin.crt"),
            "kubelet-client-key": str(pki / "admin.key"),
        }
    overrides = {"bind-address": "0.0.0.0"} if with_node else {}
    return {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        "options": {
            "runtime": "binary",
            "bindAddress": "127.0.0.1",
            "kubeApiserverPort": ports["kube-apiserver"],
            "etcdPort": ports["etcd"],
            "etcdPeerPort": ports["etcd-peer"],
            "kubeControllerManagerPort": ports["kube-controller-manager"],
            "kubeSchedulerPort": ports["kube-scheduler"],
            "kwokControllerPort": ports["kwok-controller"],
            "kubeApiserverCertSANs": [layout.kubernetes_service, layout.host_address],
            "kubeAuditPolicy": str(layout.state / "audit-policy.yaml"),
            "etcdBinary": str(binaries / "etcd"),
            "kubeApiserverBinary": str(binaries / "kube-apiserver"),
            "kubeControllerManagerBinary": str(binaries / "kube-controller-manager"),
            "kubeSchedulerBinary": str(binaries / "kube-scheduler"),
            "kwokControllerBinary": str(binaries / "kwok"),
            "kubectlBinary": str(binaries / "kubectl"),
        },
        "componentsPatches": [
            {
                "name": "kube-apiserver",
                "extraArgs": _flags(apiserver) + _flags(overrides, override=True) + more("kube-apiserver"),
            },
            # A claim whose volume was not there at its first sight waits for the next round: 15 s by default.
            {
                "name": "kube-controller-manager",
                "extraArgs": _flags({"pvclaimbinder-sync-period": "1s"}) + more("kube-controller-manager"),
            },
            {"name": "kube-scheduler", "extraArgs": more("kube-scheduler")},
            {
                "name": "kwok-controller",
                "extraArgs": _flags({"manage-all-nodes": "false"}, override=True)
                + _flags({"manage-nodes-with-annotation-selector": fake_nodes.SELECTOR}),
            },
        ],
    }


def _flags(values: dict[str, str], override: bool = False) -> list[dict[str, Any]]:
    """`override`: of those that kwokctl gives; it drops an override of what it does not. Else the last one counts."""
    return [{"key": key, "value": value, "override": override} for key, value in values.items()]


def start(layout: Layout, state: State, binaries: Path, with_node: bool, profile: Profile = ORDINARY) -> None:
    """Starts everything and records the processes; raises ClusterError with the end of the log that tells why."""
    layout.kwok_home.mkdir(parents=True, exist_ok=True)
    (layout.state / "audit-policy.yaml").write_text(profile.audit_policy)
    config = layout.kwok_home / "kwokctl.yaml"
    stages = profile.kwok_configuration(binaries / "stages.yaml")
    config.write_text(json.dumps(configuration(layout, binaries, with_node, profile)) + "\n---\n" + stages)
    argv = [str(binaries / "kwokctl"), "--config", str(config), "--name", layout.id, "create", "cluster"]
    # --kubeconfig: kwokctl would else write into the user's own ~/.kube/config
    argv += ["--kubeconfig", str(layout.kubeconfig), "--timeout", "2m"]
    log = layout.logs / "kwokctl.log"
    environment = {**os.environ, **profile.environment, "KWOK_WORKDIR": str(layout.kwok_home)}
    environment["PATH"] = f"{binaries}:{environment.get('PATH', '')}"  # it calls kubectl by name
    kwokctl = processes.start("kwokctl", argv, log, env=environment)
    state.add_process(kwokctl)  # an interrupted `up` leaves it running, and it would go on starting programs
    code = processes.wait(kwokctl)
    for process in started(layout):
        state.add_process(process)
    state.drop_process(kwokctl)
    if code:
        raise ClusterError(f"the control plane did not start: {processes.last_lines(log)}")
    check_flags(state.processes(), profile)
    server = f"https://127.0.0.1:{layout.ports['kube-apiserver']}"
    for_node = f"https://{layout.host_address}:{layout.ports['kube-apiserver']}"
    layout.node_kubeconfig.write_text(layout.kubeconfig.read_text().replace(server, for_node))
    layout.node_kubeconfig.chmod(0o600)


def started(layout: Layout) -> list[Process]:
    """kwokctl's processes that live, also after an `up` that was interrupted before it recorded them.

    A pid file counts only if the process works in kwokctl's directory: the pid may be somebody else's by now.
    """
    found = []
    for name in _NAMES:
        try:
            pid = int((layout.control_plane / "pids" / f"{name}.pid").read_text())
            if Path(os.readlink(f"/proc/{pid}/cwd")) != layout.control_plane:
                continue
        except (OSError, ValueError):
            continue
        port = layout.ports.get(name)
        address = f"127.0.0.1:{port}" if port else ""
        process = processes.adopt(name, pid, layout.control_plane / "logs" / f"{name}.log", address)
        if process:
            found.append(process)
    return found


def check_flags(running: Sequence[Process], profile: Profile) -> None:
    """Raises ClusterError where a program runs without a flag of the profile."""
    for process in running:
        wanted = [f"--{key}={value}" for key, value in profile.flags.get(process.name, {}).items()]
        given = _words(process, "cmdline") if wanted else []
        if missing := [flag for flag in wanted if flag not in given]:
            raise ClusterError(f"{process.name} runs without {' '.join(missing)}: kwokctl did not pass them on")


def _words(process: Process, file: str) -> list[str]:
    """Of one of the kernel's lists of a process: cmdline, environ."""
    return Path(f"/proc/{process.pid}/{file}").read_text().rstrip("\0").split("\0")


def restart(state: State, name: str, flags: Mapping[str, str]) -> Process:
    """The same program and environment, and flags but for these. Raises ClusterError where it does not run."""
    running = next((p for p in state.processes() if p.name == name), None)
    if running is None or not processes.alive(running):
        raise ClusterError(f"{name} does not run, so it cannot be started anew; its log: {running and running.log}")
    argv = _words(running, "cmdline")
    environment = dict(pair.split("=", 1) for pair in _words(running, "environ"))
    kept = [word for word in argv if word.partition("=")[0].removeprefix("--") not in flags]
    processes.stop([running], 10.0)
    state.drop_process(running)
    argv = [*kept, *(f"--{key}={value}" for key, value in flags.items())]
    started = processes.start(name, argv, Path(running.log), address=running.address, env=environment)
    state.add_process(started)
    return started
