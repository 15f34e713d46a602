"""JobSet's controller and manifests, out of the Go module that go.mod beside this file names; called by the contender.

Built only when the benchmark asks for it (3 minutes on 2 cores when cold), into a cache outside the checkout, keyed
by the module's version.
"""

import hashlib
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import binaries, golang
from tests.cluster.binaries import Program
from tests.cluster.layout import cache_home
from tests.cluster.progress import step
from tests.cluster.state import exclusive

MODULE = "sigs.k8s.io/jobset"
_DIRECTORY = Path(__file__).parent
_PROGRAM = Program("jobset", str(_DIRECTORY), MODULE)
_MANIFESTS = {
    "crd.yaml": "config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml",
    "webhooks.yaml": "config/components/webhook/manifests.yaml",
    "mutating-patch.yaml": "config/components/webhook/patches/mutating-patch.yaml",
    "validating-patch.yaml": "config/components/webhook/patches/validating-patch.yaml",
}


@dataclass(frozen=True)
class Installation:
    """What was built, in one directory."""

    directory: Path

    @property
    def program(self) -> Path:
        return self.directory / _PROGRAM.name

    def crd(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((self.directory / "crd.yaml").read_text())
        return found

    def webhooks(self, server: str, authority: str) -> list[dict[str, Any]]:
        """Both webhook configurations as JobSet's kustomization makes them, but that the API server finds them at
        `server` ("https://127.0.0.1:9443") and trusts `authority` (PEM in base64).
        """
        configurations = list(yaml.safe_load_all((self.directory / "webhooks.yaml").read_text()))
        for configuration in configurations:
            which = "mutating" if configuration["kind"].startswith("Mutating") else "validating"
            _patch(configuration, yaml.safe_load((self.directory / f"{which}-patch.yaml").read_text()))
            configuration["metadata"]["name"] = f"jobset-{configuration['metadata']['name']}"
            for webhook in configuration["webhooks"]:
                path = webhook["clientConfig"]["service"]["path"]
                webhook["clientConfig"] = {"url": server + path, "caBundle": authority}
        return configurations


def _patch(configuration: dict[str, Any], operations: list[dict[str, Any]]) -> None:
    """Only what JobSet's patches do: put another webhook in one's place, which asks for pods of JobSets alone."""
    for operation in operations:
        _, field, index = operation["path"].split("/")
        if operation["op"] != "replace" or field != "webhooks":
            raise ValueError(f"JobSet's kustomization patches {operation['path']}: teach program.py to do that")
        configuration["webhooks"][int(index)] = operation["value"]


def version() -> str:
    """v0.10.1"""
    lines = [line.split() for line in (_DIRECTORY / "go.mod").read_text().splitlines()]
    return next(words[1] for words in lines if words[:1] == [MODULE])


def directory() -> Path:
    key = hashlib.sha256(repr((_PROGRAM.package, _PROGRAM.flags, platform.machine())).encode())
    for path in sorted(_DIRECTORY.glob("go.[ms]*")):
        key.update(path.read_bytes())
    return cache_home() / "bin" / f"jobset-{version()}-{key.hexdigest()[:12]}"


def ensure() -> Installation:
    """Builds it where it is missing; raises ClusterError with the compiler's words."""
    target = directory()
    if target.exists():
        return Installation(target)
    with exclusive("binaries", cache_home()):
        if not target.exists():
            part = target.with_name(f".{target.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            go = golang.find([_DIRECTORY / "go.mod"])
            with step(f"building JobSet {version()} from its Go module into {target} (once; 3 minutes when cold)"):
                binaries.build(go, _PROGRAM, part)
                source = binaries.module_source(go, _DIRECTORY, MODULE)
                for name, path in _MANIFESTS.items():
                    (part / name).write_bytes((source / path).read_bytes())
            os.replace(part, target)
    return Installation(target)
