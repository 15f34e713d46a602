"""Contract tests play the operator themselves, so that no other one may act on their objects meanwhile."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from batch_operator.cluster.client import Client
from tests import clusters
from tests.cluster import installed_operator
from tests.cluster.connection import Connection
from tests.cluster.kubectl import Kubectl


@pytest.fixture(scope="session")
def cluster() -> Connection:
    return clusters.second()


@pytest.fixture(scope="session")
def kubectl(cluster: Connection) -> Kubectl:
    return cluster.client()


@pytest.fixture(scope="session")
def crds(kubectl: Kubectl) -> None:
    clusters.establish_crds(kubectl)


@pytest.fixture(scope="session", autouse=True)
def no_other_operator(kubectl: Kubectl) -> Iterator[None]:
    with installed_operator.away(kubectl):
        yield


@pytest.fixture
async def client(cluster: Connection) -> AsyncIterator[Client]:
    assert os.path.exists(cluster.kubeconfig), "the cluster's kubeconfig is there"
    async with await Client.connect(cluster.kubeconfig) as connected:
        yield connected
