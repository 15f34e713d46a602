"""Where it ran, and with what: the record that begins a directory of records. Called by __main__, and by ground."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tests.bench.contenders.jobset import program
from tests.bench.records import Record
from tests.cluster.binaries import KUBERNETES
from tests.cluster.layout import CHECKOUT

_MODULES = CHECKOUT / "tests/cluster/go"


def describe() -> Record:
    return {
        "workload": "machine",
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(memory_bytes() / 2**30),
        "kernel": f"{platform.system()} {platform.release()}",
        "load": [round(load, 2) for load in os.getloadavg()],
        "versions": {
            "operator": _commit(),
            "Python": sys.version.split()[0],
            "Kubernetes": KUBERNETES,
            "etcd": _module("kubernetes", "go.etcd.io/etcd/server/v3"),
            "kwok": _module("kwok", "sigs.k8s.io/kwok"),
            "JobSet": program.version().removeprefix("v"),
            "kopf": version("kopf"),
            "aiohttp": version("aiohttp"),
        },
    }


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    asked = ["git", "describe", "--always", "--dirty"]
    answer = subprocess.run(asked, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


def _module(directory: str, name: str) -> str:
    """The version that a go.mod asks for."""
    for line in (_MODULES / directory / "go.mod").read_text().splitlines():
        words = line.replace("require", " ").split()
        if words[:1] == [name] and len(words) > 1:
            return words[1].removeprefix("v")
    return "unknown"
