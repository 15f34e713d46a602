"""Which kind of cluster a machine gets."""

import pytest

from tests.cluster import choice
from tests.cluster.errors import ClusterError


@pytest.mark.parametrize(
    ("environment", "node_possible", "engine", "expected"),
    [
        ({}, True, "", ("local", True)),
        ({}, True, "docker", ("local", True)),
        ({}, False, "docker", ("kind", True)),
        ({}, False, "", ("local", False)),
        ({"BATCH_CLUSTER": "kind"}, True, "podman", ("kind", True)),
        ({"BATCH_CLUSTER": "local"}, False, "docker", ("local", False)),
        ({"EXISTING_CLUSTER": "1", "BATCH_CLUSTER": "kind"}, True, "docker", ("existing", False)),
    ],
    ids=["root", "root with docker", "docker", "neither", "kind asked for", "local asked for", "existing"],
)
def test_choice(environment: dict[str, str], node_possible: bool, engine: str, expected: tuple[str, bool]) -> None:
    assert choice.choose(environment, node_possible, engine) == expected


def test_kind_without_an_engine_says_what_to_install() -> None:
    with pytest.raises(ClusterError, match="needs Docker or Podman"):
        choice.choose({"BATCH_CLUSTER": "kind"}, True, "")


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ClusterError, match="BATCH_CLUSTER=minikube"):
        choice.choose({"BATCH_CLUSTER": "minikube"}, True, "docker")
