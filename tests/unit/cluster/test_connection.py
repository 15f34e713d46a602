"""What a shell and the tests get to know of the cluster."""

import json
import shlex
from pathlib import Path

import pytest

from tests.cluster import connection
from tests.cluster.connection import Connection
from tests.cluster.errors import ClusterError
from tests.cluster.layout import checkout_id, state_home

CHECKOUT = Path("/src/here")


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def write_state(**values: object) -> None:
    directory = state_home() / checkout_id(CHECKOUT)
    directory.mkdir(parents=True)
    (directory / "cluster.json").write_text(json.dumps(values))


def test_no_cluster_is_one_sentence_that_says_what_to_run() -> None:
    with pytest.raises(ClusterError, match="no cluster is up .*make cluster-up"):
        connection.load({}, CHECKOUT)


def test_an_interrupted_start_is_no_cluster() -> None:
    write_state(phase="starting", connection={"kind": "local", "kubeconfig": "/k"})
    with pytest.raises(ClusterError, match="no cluster is up"):
        connection.load({}, CHECKOUT)


def test_images_join_the_connection_once_they_are_loaded() -> None:
    write_state(phase="up", connection={"kind": "local", "kubeconfig": "/k"}, images={"worker": "w:1"})
    known = connection.load({}, CHECKOUT)
    assert (known.image_worker, known.image_operator) == ("w:1", "")


def test_an_existing_cluster_is_taken_as_the_environment_names_it(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").touch()
    given = {"EXISTING_CLUSTER": "1", "KUBECONFIG": str(tmp_path / "kubeconfig"), "BATCH_REAL_NODE": "n1"}
    known = connection.load(given, CHECKOUT)
    assert (known.kind, known.kubeconfig, known.real_node) == ("existing", given["KUBECONFIG"], "n1")


@pytest.mark.parametrize("kubeconfig", ["", "/no/such/file"])
def test_an_existing_cluster_without_its_kubeconfig_is_refused(kubeconfig: str) -> None:
    with pytest.raises(ClusterError, match="KUBECONFIG"):
        connection.load({"EXISTING_CLUSTER": "1", "KUBECONFIG": kubeconfig}, CHECKOUT)


def test_exports_survive_a_shell_and_put_our_programs_first_once() -> None:
    known = Connection("local", "/with blank/$HOME", binaries="/ours")
    text = connection.exports(known, {"PATH": "/usr/bin:/ours:/bin"})
    values = dict(shlex.split(line)[1].split("=", 1) for line in text.splitlines())
    assert values["KUBECONFIG"] == "/with blank/$HOME"
    assert values["PATH"] == "/ours:/usr/bin:/bin"
    assert values["BATCH_REAL_NODE"] == ""
