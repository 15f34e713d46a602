"""The real API server judges our schemas: what it accepts, what it refuses, and with which words."""

import copy
from typing import Any

import pytest

from tests.builders import files, make_pipeline_spec, make_spec
from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl

pytestmark = [pytest.mark.contract, pytest.mark.usefixtures("crds")]

GROUP_VERSION = "batch-operator.dev/v1alpha1"


def batchjob(object_name: str = "tep", **changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": GROUP_VERSION,
        "kind": "BatchJob",
        "metadata": {"name": object_name},
        "spec": make_spec(**{"pipeline_key": "not-published", **changes}),
    }


def pipeline(name: str = "classify", **changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": GROUP_VERSION,
        "kind": "Pipeline",
        "metadata": {"name": name},
        "spec": make_pipeline_spec(**changes),
    }


def dry_run(kubectl: Kubectl, namespace: str, manifest: dict[str, Any]) -> None:
    kubectl.run("create", "--dry-run=server", "-n", namespace, "-f", "-", stdin=manifest)


def component(**fields: Any) -> dict[str, Any]:
    return {"components": {"worker": {"image": "example.org/x:1", **fields}}}


class TestBatchJob:
    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({}, id="the seeds' body"),
            pytest.param({"inputs": None, "parameters": None, "name": None}, id="only what is required"),
            pytest.param({"inputs": {"worker.inference": files(10_000)}}, id="10,000 inputs"),
            pytest.param({"inputs": {"worker.a": [{"file_id": "2026-01-01T10:00:00.csv"}]}}, id="a time as name"),
            pytest.param({"inputs": {"worker.a": [{"file_id": "plant 7/größe.csv"}]}}, id="spaces and umlauts"),
            pytest.param({"policy": {"max_failed_inputs": -1, "fail_fast": True, "grace_seconds": 0}}, id="a policy"),
            pytest.param(
                {"parameters": {"worker": {"config": {"any": {"shape": [1, {"x": None}]}}}}}, id="free-form config"
            ),
        ],
    )
    def test_accepted(self, kubectl: Kubectl, namespace: str, changes: dict[str, Any]) -> None:
        dry_run(kubectl, namespace, batchjob(**changes))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            pytest.param({"pipeline_type": "stream"}, "spec.pipeline_type: Unsupported value", id="unknown enum"),
            pytest.param({"pipeline_type": None}, "spec.pipeline_type: Required value", id="missing field"),
            pytest.param({"pipeline_key": "Not A Key"}, "spec.pipeline_key", id="no key"),
            pytest.param({"pipeline_version": "latest"}, "spec.pipeline_version", id="no SemVer"),
            pytest.param({"inputs": []}, "spec.inputs", id="wrong type"),
            pytest.param({"parameters": {"worker": {"paralelism": 2}}}, "unknown field", id="a typing error"),
            pytest.param(
                {"inputs": {"worker.inference": files(10_001)}},
                r"spec.inputs.worker.inference: Too many: 10001: must have at most 10000",
                id="over 10,000 inputs in a port",
            ),
            pytest.param(
                {"inputs": {"worker.a": files(5001), "worker.b": files(5000)}},
                "a job has at most 10000 input files in all",
                id="over 10,000 inputs in all",
            ),
            pytest.param({"inputs": {"inference": files(1)}}, "a port is named <component>.<port>", id="no port"),
            pytest.param({"parameters": {"Worker": {}}}, "a component's name is a DNS label", id="no component"),
            pytest.param({"parameters": {"worker": {"parallelism": 0}}}, "worker.parallelism", id="no pods"),
            pytest.param({"policy": {"max_failed_inputs": -2}}, "spec.policy.max_failed_inputs", id="below no limit"),
        ],
    )
    def test_refused_naming_the_field(
        self, kubectl: Kubectl, namespace: str, changes: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(ClusterError, match=words):
            dry_run(kubectl, namespace, batchjob(**changes))

    @pytest.mark.parametrize(
        "file_id",
        [
            pytest.param("../secret.csv", id="parent"),
            pytest.param("a/../b.csv", id="parent inside"),
            pytest.param("a/./b.csv", id="dot segment"),
            pytest.param(".hidden", id="hidden"),
            pytest.param("/etc/passwd", id="absolute"),
            pytest.param("s3://bucket/a.csv", id="URL"),
            pytest.param("file:a.csv", id="scheme without authority"),
            pytest.param("a//b.csv", id="empty segment"),
            pytest.param("a/", id="a folder"),
            pytest.param("a\\b.csv", id="backslash"),
            pytest.param("a\nb.csv", id="line break"),
            pytest.param("", id="empty"),
            pytest.param("x" * 513, id="too long"),
        ],
    )
    def test_a_file_id_never_leaves_the_store(self, kubectl: Kubectl, namespace: str, file_id: str) -> None:
        with pytest.raises(ClusterError, match="file_id"):
            dry_run(kubectl, namespace, batchjob(inputs={"worker.inference": [{"file_id": file_id}]}))

    @pytest.mark.parametrize("name", ["a" * 64, "with.dots"], ids=["too long", "no DNS label"])
    def test_a_name_that_pods_cannot_carry(self, kubectl: Kubectl, namespace: str, name: str) -> None:
        with pytest.raises(ClusterError, match="metadata.name must be a DNS label"):
            dry_run(kubectl, namespace, batchjob(name))


@pytest.fixture(scope="module")
def stored(kubectl: Kubectl, namespace: str, crds: None) -> dict[str, Any]:
    """A job that is there, for attempts to change it."""
    manifest = batchjob("frozen", pipeline_version="1.0.0")
    kubectl.run("create", "-n", namespace, "-f", "-", stdin=manifest)
    return manifest


class TestImmutability:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            pytest.param("name", "other", id="name changed"),
            pytest.param("name", None, id="name removed"),
            pytest.param("pipeline_type", "training", id="type changed"),
            pytest.param("pipeline_key", "other", id="key changed"),
            pytest.param("pipeline_version", None, id="version removed"),
            pytest.param("inputs", None, id="inputs removed"),
            pytest.param("inputs", {"worker.inference": files(5)}, id="inputs changed"),
            pytest.param("parameters", {"worker": {"parallelism": 3}}, id="parallelism changed"),
        ],
    )
    def test_what_was_asked_for_stays(
        self, kubectl: Kubectl, namespace: str, stored: dict[str, Any], field: str, value: Any
    ) -> None:
        changed = copy.deepcopy(stored)
        changed["spec"].pop(field)
        if value is not None:
            changed["spec"][field] = value
        with pytest.raises(ClusterError, match=f"{field} cannot be changed"):
            kubectl.run("replace", "--dry-run=server", "-n", namespace, "-f", "-", stdin=changed)

    def test_an_optional_field_cannot_be_added(self, kubectl: Kubectl, namespace: str, stored: dict[str, Any]) -> None:
        bare = batchjob("bare", pipeline_version=None)
        kubectl.run("create", "-n", namespace, "-f", "-", stdin=bare)
        bare["spec"]["pipeline_version"] = "1.0.0"
        with pytest.raises(ClusterError, match="pipeline_version cannot be changed"):
            kubectl.run("replace", "--dry-run=server", "-n", namespace, "-f", "-", stdin=bare)

    def test_policy_stays_free(self, kubectl: Kubectl, namespace: str, stored: dict[str, Any]) -> None:
        changed = copy.deepcopy(stored)
        changed["spec"]["policy"] = {"max_failed_inputs": 3}
        kubectl.run("replace", "--dry-run=server", "-n", namespace, "-f", "-", stdin=changed)


class TestPipeline:
    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({}, id="whole"),
            pytest.param(component(resources={"cpu": 2, "memory": "4Gi", "gpu": {"count": 1}}), id="resources"),
            pytest.param(component(env=[{"name": "A", "value": ""}]), id="an empty variable"),
            pytest.param(
                component(volumes=[{"name": "v", "mount_path": "/v", "empty_dir": {"medium": "Memory"}}]), id="a volume"
            ),
        ],
    )
    def test_accepted(self, kubectl: Kubectl, namespace: str, changes: dict[str, Any]) -> None:
        dry_run(kubectl, namespace, pipeline(**changes))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            pytest.param({"version": "1.1"}, "spec.version", id="no SemVer"),
            pytest.param({"version": "1.2.0-01"}, "spec.version", id="a leading zero in a pre-release"),
            pytest.param({"components": {}}, "spec.components", id="no component"),
            pytest.param(
                {"input_ports": [{"name": "worker.a", "distribute": "scatter", "tracked": False}]},
                "a port is tracked exactly if it scatters",
                id="scatter untracked",
            ),
            pytest.param(
                {"input_ports": [{"name": "other.a", "distribute": "scatter", "tracked": True}]},
                "input_ports must name a component",
                id="port of no component",
            ),
            pytest.param(
                {"input_ports": [{"name": "worker.a", "distribute": "scatter", "tracked": True}] * 2},
                "Duplicate value",
                id="a port twice",
            ),
            pytest.param(
                {"output_ports": [{"name": "results"}]}, "<component>.<port>", id="output port without component"
            ),
            pytest.param({"default_config": {"other": {}}}, "default_config must name", id="defaults of no component"),
            pytest.param(component(env=[{"name": "A"}]), "give either value or secret", id="variable without value"),
            pytest.param(
                component(env=[{"name": "A", "value": "x", "secret": {"name": "s", "key": "k"}}]),
                "give either value or secret",
                id="variable with both",
            ),
            pytest.param(
                component(env=[{"name": "BATCH_INPUTS", "value": "0"}]), "are the operator's", id="reserved variable"
            ),
            pytest.param(
                component(volumes=[{"name": "v", "mount_path": "/v"}]), "give exactly one of", id="volume from nowhere"
            ),
            pytest.param(
                component(volumes=[{"name": "v", "mount_path": "/v", "secret": "a", "config_map": "b"}]),
                "give exactly one of",
                id="volume from two places",
            ),
            pytest.param(
                {"storage": {"inputs_url": "http://x/", "outputs_url": "file:///o"}}, "inputs_url", id="unknown store"
            ),
        ],
    )
    def test_refused_naming_the_field(
        self, kubectl: Kubectl, namespace: str, changes: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(ClusterError, match=words):
            dry_run(kubectl, namespace, pipeline(**changes))

    def test_a_published_version_is_frozen_but_for_its_status(self, kubectl: Kubectl, namespace: str) -> None:
        stored = pipeline("published")
        kubectl.run("create", "-n", namespace, "-f", "-", stdin=stored)
        for changes, words in (
            (component(args=["--evil"]), "components cannot be changed"),
            ({"storage": {"inputs_url": "s3://x", "outputs_url": "s3://y"}}, "storage cannot be changed"),
            ({"status": "draft"}, "never becomes a draft again"),
        ):
            changed = pipeline("published", **changes)
            with pytest.raises(ClusterError, match=words):
                kubectl.run("replace", "--dry-run=server", "-n", namespace, "-f", "-", stdin=changed)
        kubectl.run("replace", "-n", namespace, "-f", "-", stdin=pipeline("published", status="deactivated"))

    def test_a_draft_may_change(self, kubectl: Kubectl, namespace: str) -> None:
        kubectl.run("create", "-n", namespace, "-f", "-", stdin=pipeline("draft", status="draft"))
        changed = pipeline("draft", status="published", **component(args=["--fast"]))
        kubectl.run("replace", "-n", namespace, "-f", "-", stdin=changed)


class TestForPeople:
    @pytest.mark.parametrize("kind", ["batchjobs", "pipelines", "clusterpipelines", "queues"])
    def test_every_field_is_explained(self, kubectl: Kubectl, kind: str) -> None:
        text = kubectl.run("explain", "--recursive", f"{kind}.spec")
        assert "<no description>" not in text

    def test_printer_columns(self, kubectl: Kubectl, namespace: str) -> None:
        kubectl.run("create", "-n", namespace, "-f", "-", stdin=batchjob("shown"))
        header = kubectl.run("get", "bj", "-n", namespace, "-o", "wide").splitlines()[0].split()
        wide = ["PIPELINE", "VERSION", "PREEMPTIONS", "STARTED", "FINISHED", "MESSAGE"]
        assert header == ["NAME", "STATUS", "QUEUE", "POS", "ADMISSION", "PROGRESS", "RETRIES", "AGE", *wide]

    def test_jobs_can_be_selected_by_pipeline(self, kubectl: Kubectl, namespace: str) -> None:
        kubectl.run("create", "-n", namespace, "-f", "-", stdin=batchjob("selected"))
        found = kubectl.run(
            "get", "bj", "-n", namespace, "--field-selector=spec.pipeline_key=not-published", "-o", "name"
        )
        assert "batchjob.batch-operator.dev/selected" in found.split()
