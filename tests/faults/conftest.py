"""The faults on the real API server: their operators are processes of this host, and no other one may act meanwhile."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests import clusters
from tests.cluster import installed_operator
from tests.cluster.connection import Connection
from tests.cluster.kubectl import Kubectl
from tests.faults.bench import Bench, bench


@pytest.fixture(scope="session")
def cluster() -> Connection:
    return clusters.second()


@pytest.fixture(scope="session")
def kubectl(cluster: Connection) -> Kubectl:
    return cluster.client()


@pytest.fixture(scope="session")
def crds(kubectl: Kubectl) -> None:
    clusters.establish_crds(kubectl)


@pytest.fixture(scope="package")
def no_other_operator(kubectl: Kubectl, crds: None) -> Iterator[None]:
    with installed_operator.away(kubectl):
        yield


@pytest.fixture
async def desk(cluster: Connection, no_other_operator: None) -> AsyncIterator[Bench]:
    async with bench(cluster.kubeconfig) as made:
        yield made
