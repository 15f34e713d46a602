"""Fixtures of the tests that ask a real cluster, and which of the tests may run at the same time."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests import clusters
from tests.cluster.connection import Connection
from tests.cluster.kubectl import Kubectl

OF_THE_FIRST = ("tests/e2e/",)
OF_THE_SECOND = ("tests/contract/", "tests/faults/")
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

# How long an example takes says something of the machine, which may have much else to do, and nothing of the code.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


class OneProcessForACluster(LoadScopeScheduling):  # type: ignore[misc]  # the library has no types
    """Tests that share a cluster stay in one process, one after the other. Under `-n 2` (make test) those of the second
    cluster, and then all others, run beside those of the first, which mostly wait."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(OF_THE_SECOND):
            return "second cluster" if clusters.has_second() else "cluster"
        return "cluster" if nodeid.startswith(OF_THE_FIRST) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneProcessForACluster:
    return OneProcessForACluster(config, log)


@pytest.fixture(scope="session")
def cluster() -> Connection:
    return clusters.first()


@pytest.fixture(scope="session")
def kubectl(cluster: Connection) -> Kubectl:
    return cluster.client()


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
