"""Fixtures of the tests that ask a real cluster. Where none is up they are skipped, naming what would bring one up;
`make test` brings one up and sets BATCH_REQUIRE_CLUSTER, so that nothing is skipped for that there."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import connection
from tests.cluster.connection import Connection
from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl

ROOT = Path(__file__).parent.parent
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="session")
def cluster() -> Connection:
    """The cluster that is up."""
    try:
        return connection.load()
    except ClusterError as problem:
        if os.environ.get("BATCH_REQUIRE_CLUSTER"):
            raise
        pytest.skip(f"needs a cluster (make cluster-up): {problem}")


@pytest.fixture(scope="session")
def kubectl(cluster: Connection) -> Kubectl:
    return cluster.client()


@pytest.fixture(scope="session")
def crds(kubectl: Kubectl) -> None:
    """Our CRDs as they are in this checkout, established."""
    kubectl.run("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    kubectl.run("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))


@pytest.fixture(scope="module")
def make_namespace(kubectl: Kubectl) -> Iterator[Callable[[], str]]:
    """Makes namespaces under the restricted profile; all of them are deleted at the module's end."""
    made: list[str] = []

    def make() -> str:
        name = f"test-{uuid.uuid4().hex[:8]}"
        manifest: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": RESTRICTED},
        }
        kubectl.run("create", "-f", "-", stdin=manifest)
        made.append(name)
        return name

    yield make
    if made:
        kubectl.run("delete", "namespace", "--wait=false", *made)


@pytest.fixture(scope="module")
def namespace(make_namespace: Callable[[], str]) -> str:
    """One namespace for the module's tests."""
    return make_namespace()
