"""Which cluster a test asks; the conftest files make their fixtures of it.

`make test` has two: one with a real node and the operator installed, for tests/e2e, and a second one for the tests that
play the operator themselves (tests/contract, tests/faults), which no other may then disturb. Where there is no second
one, the first serves all. Where none is up, tests are skipped, naming what would bring one up, but for
BATCH_REQUIRE_CLUSTER.
"""

import os
from pathlib import Path

import pytest

from tests.cluster import connection
from tests.cluster.connection import Connection
from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl
from tests.cluster.layout import CHECKOUT, SECOND

CRDS = str(CHECKOUT / "crds")


def first() -> Connection:
    return _load(CHECKOUT)


def second() -> Connection:
    return _load(SECOND if has_second() else CHECKOUT)


def has_second() -> bool:
    try:
        return connection.load(checkout=SECOND).kind == "local"
    except ClusterError:
        return False


def establish_crds(kubectl: Kubectl) -> None:
    """Our CRDs as they are in this checkout."""
    kubectl.run("apply", "--server-side", "--force-conflicts", "-f", CRDS)
    kubectl.run("wait", "--for=condition=Established", "--timeout=30s", "-f", CRDS)


def _load(checkout: Path) -> Connection:
    try:
        return connection.load(checkout=checkout)
    except ClusterError as problem:
        if os.environ.get("BATCH_REQUIRE_CLUSTER"):
            raise
        pytest.skip(f"needs a cluster (make cluster-up): {problem}")
