"""The cluster's programs, built from the Go modules in tests/cluster/go into a cache keyed by their versions.

`up` calls it first; `python3 -m tests.cluster binaries` alone is what a cold machine can do beforehand (6 min on
2 cores; seconds once Go's own build cache is warm).
"""

import hashlib
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import golang
from tests.cluster.errors import ClusterError
from tests.cluster.layout import cache_home
from tests.cluster.progress import say, step
from tests.cluster.state import exclusive

KUBERNETES = "1.34.4"
_MODULES = Path(__file__).parent / "go"
_VERSION_PACKAGE = "k8s.io/component-base/version"
# Without these the programs report v0.0.0, and clients that compare versions refuse them.
_KUBERNETES_FLAGS = (
    f"-s -w -X {_VERSION_PACKAGE}.gitVersion=v{KUBERNETES} -X {_VERSION_PACKAGE}.gitMajor=1 "
    f"-X {_VERSION_PACKAGE}.gitMinor={KUBERNETES.split('.')[1]}"
)


@dataclass(frozen=True)
class Program:
    name: str
    module: str
    """A directory of tests/cluster/go, or an absolute path."""
    package: str
    flags: str = "-s -w"


def _kubernetes(name: str) -> Program:
    return Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", _KUBERNETES_FLAGS)


PROGRAMS = (
    Program("etcd", "kubernetes", "go.etcd.io/etcd/server/v3"),
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _kubernetes("kubectl"),
    _kubernetes("kubelet"),
    _kubernetes("kube-proxy"),
    Program("kwokctl", "kwok", "sigs.k8s.io/kwok/cmd/kwokctl"),
    Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    Program("helm", "helm", "helm.sh/helm/v3/cmd/helm"),
)
FOR_KIND = tuple(p for p in PROGRAMS if p.name in ("kubectl", "kwok", "helm"))
KIND = Program("kind", "kind", "sigs.k8s.io/kind")
# kwok's own stages: a config with any Stage of ours drops all built-in ones, so they are passed along unchanged.
STOCK_STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
)


def directory() -> Path:
    """Where the programs of exactly these module files lie."""
    key = hashlib.sha256(repr(PROGRAMS).encode() + platform.machine().encode())
    for path in sorted(_MODULES.glob("*/go.[ms]*")):
        key.update(path.read_bytes())
    return cache_home() / "bin" / f"kubernetes-{KUBERNETES}-{key.hexdigest()[:12]}"


def ensure(programs: tuple[Program, ...] = PROGRAMS) -> Path:
    """Builds what is missing and returns the directory; raises ClusterError with the compiler's words."""
    target = directory()
    if not _missing(target, programs):
        return target
    with exclusive("binaries", cache_home()):
        todo = _missing(target, programs)
        if not todo:
            return target
        go = golang.find(sorted(_MODULES.glob("*/go.mod")))
        target.mkdir(parents=True, exist_ok=True)
        say(f"building {len(todo)} programs from Go modules into {target} (once; about 6 minutes on 2 cores when cold)")
        for number, program in enumerate(todo, 1):
            with step(f"building {program.name} ({number} of {len(todo)})"):
                if program.name == "kwok":
                    _copy_stages(go, target / "stages.yaml")
                build(go, program, target)
    return target


def _missing(target: Path, programs: tuple[Program, ...]) -> list[Program]:
    return [p for p in programs if not (target / p.name).exists()]


def environment() -> dict[str, str]:
    # No cgo: the programs need no C compiler here and no shared library on any node.
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false -trimpath"}


def build(go: str, program: Program, target: Path) -> None:
    """Builds `program` into the directory `target`; raises ClusterError with the compiler's words."""
    part = target / f".{program.name}.part"
    # nice: a cold build takes minutes, and people go on working meanwhile
    argv = [go, "build", "-ldflags", program.flags, "-o", str(part), program.package]
    if shutil.which("nice"):
        argv = ["nice", *argv]
    result = subprocess.run(
        argv, cwd=_MODULES / program.module, env=environment(), capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise ClusterError(
            f"building {program.name} failed; is the Go module proxy reachable?\n{result.stderr.strip()[-2000:]}"
        )
    os.replace(part, target / program.name)


def module_source(go: str, directory: Path, module: str) -> Path:
    """Where Go keeps the source of `module`, in the version of the go.mod in `directory`."""
    argv = [go, "list", "-m", "-f", "{{.Dir}}", module]
    found = subprocess.run(argv, cwd=directory, env=environment(), capture_output=True, text=True, check=False)
    if found.returncode:
        raise ClusterError(f"`{' '.join(argv)}` failed: {found.stderr.strip()[-500:]}")
    return Path(found.stdout.strip())


def _copy_stages(go: str, target: Path) -> None:
    stages = module_source(go, _MODULES / "kwok", "sigs.k8s.io/kwok") / "kustomize/stage"
    part = target.with_suffix(".part")
    part.write_text("---\n".join((stages / name).read_text() for name in STOCK_STAGES))
    os.replace(part, target)
