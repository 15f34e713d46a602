"""Which kind of cluster this machine gets, and the commands on it; called by the command line.

EXISTING_CLUSTER=1 with KUBECONFIG: that one, and nothing is done to it. BATCH_CLUSTER=local or kind: that kind.
Else: root on Debian gets the local cluster with a real node, Docker or Podman gets kind, and without either the
local cluster has only kwok's nodes, which is enough for all tests but those on the real node.
"""

import os
from collections.abc import Mapping

from tests.cluster import connection, kind, local, packages, status
from tests.cluster.errors import ClusterError
from tests.cluster.layout import SECOND
from tests.cluster.progress import say
from tests.cluster.state import State


def choose(environment: Mapping[str, str], node_possible: bool, container_engine: str) -> tuple[str, bool]:
    """(kind, with a real node); `container_engine` is docker, podman or "" if neither answers."""
    wanted = environment.get("BATCH_CLUSTER", "")
    if environment.get("EXISTING_CLUSTER") == "1":
        return "existing", False
    if wanted not in ("", local.KIND, kind.KIND):
        raise ClusterError(f"BATCH_CLUSTER={wanted} is no kind of cluster: use local or kind, or leave it out")
    if wanted == kind.KIND and not container_engine:
        raise ClusterError("BATCH_CLUSTER=kind needs Docker or Podman, and neither answers: start or install one")
    if container_engine and (wanted == kind.KIND or not wanted and not node_possible):
        return kind.KIND, True
    return local.KIND, node_possible


def up(state: State, fake_nodes: int) -> None:
    """Brings up what `choose` says; an existing cluster is only looked at."""
    engine = "" if _existing() or _node_possible() and not os.environ.get("BATCH_CLUSTER") else kind.engine()
    which, with_node = choose(os.environ, _node_possible(), engine)
    if which == "existing":
        connection.load().client().run("get", "--raw", "/readyz")
        say("using the cluster of KUBECONFIG as it is")
        return
    running = state.get("kind")
    if running and running != which:
        down(state)
    if which == kind.KIND:
        kind.up(state, fake_nodes, engine)
        return
    local.up(state, fake_nodes, with_node)
    if not with_node:
        say("no real node: that takes root on Debian, or Docker or Podman; `make demo` needs one of them")


def up_second(state: State, fake_nodes: int) -> None:
    """One more local cluster, without a real node, beside a local one that is up; else there is only the one."""
    if not _existing() and state.get("kind") == local.KIND:
        local.up(State.of_checkout(SECOND), fake_nodes, with_node=False, checkout=SECOND)


def down_second() -> None:
    second = State.of_checkout(SECOND)
    if second.get("phase"):
        local.down(second, SECOND)


def down(state: State) -> None:
    down_second()
    if _existing():
        say("EXISTING_CLUSTER=1: that cluster is left as it is")
    elif not state.get("phase"):
        say("no cluster is up for this checkout")
    elif state.get("kind") == kind.KIND:
        kind.down(state)
    else:
        local.down(state)


def report(state: State) -> tuple[str, bool]:
    if _existing():
        client = connection.load().client()
        return client.run("cluster-info") + client.run("get", "nodes"), True
    return status.report(state, kind.problems if state.get("kind") == kind.KIND else local.problems)


def images(state: State) -> None:
    from tests.cluster import images as builder

    if _existing():
        raise ClusterError(
            "EXISTING_CLUSTER=1: give BATCH_IMAGE_OPERATOR and BATCH_IMAGE_WORKER, which that cluster can pull"
        )
    if not connection.load().real_node:
        say("this cluster has no real node, so no image is built")
        return
    builder.ensure(state)


def _existing() -> bool:
    return os.environ.get("EXISTING_CLUSTER") == "1"


def _node_possible() -> bool:
    return os.geteuid() == 0 and (packages.installable() or not packages.missing(packages.NODE))
