"""The operator that is installed in the cluster, sent away while somebody else plays the operator. Used by tests."""

import contextlib
from collections.abc import Iterator

from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl

_OPERATOR = ("deployment/batch-operator", "--namespace=batch-operator-system")


@contextlib.contextmanager
def away(kubectl: Kubectl) -> Iterator[None]:
    """Scales an installed operator down, and up again at the end."""
    try:
        found = kubectl.get(*_OPERATOR)
    except ClusterError:
        yield
        return
    kubectl.run("scale", *_OPERATOR, "--replicas=0")
    # one that has only just started hears no SIGTERM yet: it takes its whole grace period of 30 s
    gone = ("wait", "pod", "--for=delete", "--selector=app.kubernetes.io/name=batch-operator", "--timeout=60s")
    kubectl.run(*gone, _OPERATOR[1], timeout_seconds=70)
    try:
        yield
    finally:
        kubectl.run("scale", *_OPERATOR, f"--replicas={found['spec'].get('replicas', 1)}")
