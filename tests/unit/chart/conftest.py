"""Fixtures of the chart's tests: the helm program, and the chart rendered with given values."""

import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import binaries

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "helm/batch-operator"
NAMESPACE = "batch-operator-system"

Objects = list[dict[str, Any]]
Render = Callable[..., Objects]


class HelmError(Exception):
    """helm ended with an error; the text is its stderr."""


@pytest.fixture(scope="session")
def helm() -> str:
    """HELM, the one that the local cluster built, or the one on PATH."""
    built = binaries.directory() / "helm"
    found = os.environ.get("HELM") or (str(built) if built.exists() else shutil.which("helm"))
    if not found:
        pytest.skip("no helm: set HELM, install it, or run `python3 -m tests.cluster binaries`")
    return found


@pytest.fixture(scope="session")
def render_text(helm: str) -> Callable[..., str]:
    """render_text("a.b=c", ..., file="") is the chart's text with those values (--set) and those of a values file,
    given as text; raises HelmError where helm refuses."""

    @functools.cache
    def render(*values: str, file: str = "") -> str:
        sets = [part for value in values for part in ("--set", value)]
        version = ("--kube-version", "1.34.0")
        argv = [helm, "template", "batch-operator", str(CHART), "-n", NAMESPACE, *version, "-f", "-", *sets]
        result = subprocess.run(argv, input=file, capture_output=True, text=True, check=False)
        if result.returncode:
            raise HelmError(result.stderr)
        return result.stdout

    return render


@pytest.fixture(scope="session")
def render(render_text: Callable[..., str]) -> Render:
    """As render_text, parsed."""

    def objects(*values: str, file: str = "") -> Objects:
        return list(parsed(render_text(*values, file=file)))

    return objects


def parsed(text: str) -> Iterator[dict[str, Any]]:
    return (document for document in yaml.safe_load_all(text) if document)


def only(objects: Objects, kind: str, name: str = "") -> dict[str, Any]:
    """The one object of this kind (and name); fails if there are none or several."""
    found = [o for o in objects if o["kind"] == kind and name in ("", o["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} objects {kind} {name}: {[o['metadata']['name'] for o in found]}"
    return found[0]
