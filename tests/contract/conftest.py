"""Contract tests play the operator themselves, so that no other one may act on their objects meanwhile."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from batch_operator.cluster.client import Client
from tests.cluster.connection import Connection
from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl

OPERATOR = ("deployment/batch-operator", "--namespace=batch-operator-system")


@pytest.fixture(scope="session", autouse=True)
def no_other_operator(kubectl: Kubectl) -> Iterator[None]:
    """Scales an installed operator down for these tests, and up again after them."""
    try:
        kubectl.run("get", *OPERATOR)
    except ClusterError:
        yield
        return
    kubectl.run("scale", *OPERATOR, "--replicas=0")
    kubectl.run("wait", "pod", "--for=delete", "--selector=app.kubernetes.io/name=batch-operator", *OPERATOR[1:])
    yield
    kubectl.run("scale", *OPERATOR, "--replicas=1")


@pytest.fixture
async def client(cluster: Connection) -> AsyncIterator[Client]:
    assert os.path.exists(cluster.kubeconfig), "the cluster's kubeconfig is there"
    async with await Client.connect(cluster.kubeconfig) as connected:
        yield connected
