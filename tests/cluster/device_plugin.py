"""Builds the device plugin of go/kubernetes/device_plugin: nvidia.com/gpu on the node that tests may break."""

import hashlib
import os
import subprocess
from pathlib import Path

from tests.cluster import binaries, golang
from tests.cluster.errors import ClusterError
from tests.cluster.layout import cache_home
from tests.cluster.progress import step
from tests.cluster.state import exclusive

_MODULE = Path(__file__).parent / "go/kubernetes"
_SOURCE = _MODULE / "device_plugin/main.go"


def build() -> Path:
    """The program, from the cache if this source was built before; raises ClusterError with the compiler's words.

    It lies beside the cluster's programs and not among them: a change here must not build those anew.
    """
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]
    program = binaries.directory() / f"device-plugin-{digest}"
    if program.exists():
        return program
    with exclusive("binaries", cache_home()), step("building the device plugin"):
        part = program.with_suffix(".part")
        argv = [golang.find([_MODULE / "go.mod"]), "build", "-ldflags", "-s -w", "-o", str(part), "./device_plugin"]
        answer = subprocess.run(
            argv, cwd=_MODULE, env=binaries.environment(), capture_output=True, text=True, check=False
        )
        if answer.returncode:
            raise ClusterError(f"building the device plugin failed: {answer.stderr.strip()[-2000:]}")
        os.replace(part, program)
    return program
