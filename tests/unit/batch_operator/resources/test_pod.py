import base64
import gzip
from typing import Any

import pytest

from batch_operator.api.job_file import JobFile
from batch_operator.resources.configmap import configmap, job_file
from batch_operator.snapshot import RuleSettings
from tests.builders import NOW, admitted, make_batchjob, make_pipeline, make_snapshot, make_spec, reconcile

BOMB = base64.b64encode(gzip.compress(b"0" * 64 * 1024 * 1024)).decode()
CORRUPT = base64.b64encode(gzip.compress(b"{}")[:10] + b"\xff" * 8).decode()


def pod_of(component: dict[str, Any] | None = None, rules: RuleSettings | None = None, **pipeline: Any) -> Any:
    """The first pod of a job whose only component has these fields."""
    component = {"image": "example.org/classify:1"} | (component or {})
    snapshot = make_snapshot(
        pipelines=(make_pipeline(components={"worker": component}, **pipeline),), settings=rules or RuleSettings()
    )
    plan = reconcile(make_batchjob(), snapshot, NOW)
    assert plan.pods, plan.message
    return plan.pods[0]


def environment(pod: Any) -> dict[str, Any]:
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in pod["spec"]["containers"][0]["env"]}


def test_the_restricted_profile() -> None:
    spec = pod_of()["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never"
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_owner_is_the_controller_and_blocks_nothing() -> None:
    (owner,) = pod_of()["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"], owner["blockOwnerDeletion"]) == ("BatchJob", True, False)


def test_the_contracts_environment() -> None:
    rules = RuleSettings(progress_url="https://10.0.0.9:8443/", ca_certificate="PEM")
    _, file = admitted()
    found = environment(pod_of(rules=rules))
    assert found["BATCH_INPUTS"] == "0-1"
    assert (found["BATCH_COMPONENT"], found["BATCH_INDEX"], found["BATCH_PARALLELISM"]) == ("worker", "0", "2")
    assert found["BATCH_ATTEMPT"] == "0"
    assert found["BATCH_PROGRESS_URL"] == "https://10.0.0.9:8443/v1/progress"
    assert found["BATCH_OUTPUT_URL"] == f"file:///data/outputs/team-a/{file.document['id']}"
    assert len(found["BATCH_JOB_SHA256"]) == 64


def test_without_an_endpoint_there_is_no_token() -> None:
    pod = pod_of()
    assert not [name for name in environment(pod) if name.startswith("BATCH_PROGRESS")]
    (volume,) = [v for v in pod["spec"]["volumes"] if v["name"] == "batch"]
    assert [list(source) for source in volume["projected"]["sources"]] == [["configMap"]]


def test_the_token_is_for_our_audience_only() -> None:
    pod = pod_of(rules=RuleSettings(progress_url="https://x:1", ca_certificate="PEM"))
    (volume,) = [v for v in pod["spec"]["volumes"] if v["name"] == "batch"]
    token = volume["projected"]["sources"][1]["serviceAccountToken"]
    assert token["audience"] == "batch-operator.dev/progress"


class TestGpu:
    RESOURCES = {"cpu": 2, "memory": "4Gi", "gpu": {"count": 2, "product": "NVIDIA-H200", "memory_gb": 80}}

    def test_requests_equal_limits(self) -> None:
        resources = pod_of({"resources": self.RESOURCES})["spec"]["containers"][0]["resources"]
        assert resources["limits"] == {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "2"} == resources["requests"]

    def test_the_product_is_a_node_label(self) -> None:
        spec = pod_of({"resources": self.RESOURCES, "node_selector": {"zone": "a"}})["spec"]
        assert spec["nodeSelector"] == {"zone": "a", "nvidia.com/gpu.product": "NVIDIA-H200"}

    @pytest.mark.parametrize(
        ("memory_gb", "node_mebibytes", "fits"),
        [
            pytest.param(80, 81559, True, id="80 GB on an H100 of 81,559 MiB"),
            pytest.param(80, 76293, True, id="80 GB on exactly 80 GB"),
            pytest.param(80, 76292, False, id="80 GB on one MiB less"),
            pytest.param(141, 143771, True, id="141 GB on an H200"),
            pytest.param(141, 81559, False, id="141 GB on an H100"),
        ],
    )
    def test_memory_is_asked_for_by_node_affinity(self, memory_gb: int, node_mebibytes: int, fits: bool) -> None:
        spec = pod_of({"resources": {"gpu": {"count": 1, "memory_gb": memory_gb}}})["spec"]
        required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        (term,) = required["nodeSelectorTerms"][0]["matchExpressions"]
        assert term["operator"] == "Gt"
        assert (node_mebibytes > int(term["values"][0])) == fits

    def test_the_gpu_taint_is_tolerated_only_with_a_gpu(self) -> None:
        taint = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
        assert taint in pod_of({"resources": self.RESOURCES})["spec"]["tolerations"]
        assert "tolerations" not in pod_of()["spec"]


def test_what_the_pipeline_says_of_its_component() -> None:
    pod = pod_of(
        {
            "service_account_name": "reader",
            "runtime_class_name": "nvidia",
            "image_pull_secrets": ["registry"],
            "env": [{"name": "MODE", "value": "fast"}, {"name": "KEY", "secret": {"name": "s", "key": "k"}}],
            "volumes": [{"name": "models", "mount_path": "/models", "persistent_volume_claim": "m", "read_only": True}],
            "resources": {"shm": "1Gi"},
        },
        storage={
            "inputs_url": "s3://bucket/in",
            "outputs_url": "s3://bucket/out/",
            "credentials_secret": "aws",
        },
    )
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    assert spec["serviceAccountName"] == "reader"
    assert spec["runtimeClassName"] == "nvidia"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert environment(pod)["KEY"] == {"secretKeyRef": {"name": "s", "key": "k"}}
    assert environment(pod)["BATCH_OUTPUT_URL"].startswith("s3://bucket/out/team-a/job_")
    assert container["envFrom"] == [{"secretRef": {"name": "aws"}}]
    assert {"name": "pipeline-models", "mountPath": "/models", "readOnly": True} in container["volumeMounts"]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}} in spec["volumes"]


class TestConfigMap:
    def test_it_carries_the_job_file_there_and_back(self) -> None:
        job, file = admitted()
        manifest = configmap(job, file, "PEM")
        assert manifest["immutable"] is True
        assert manifest["data"] == {"ca.crt": "PEM"}
        found = job_file(manifest)
        assert found is not None
        assert found.sha256 == file.sha256

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param({}, id="nothing in it"),
            pytest.param({"binaryData": {"job.json.gz": "!!"}}, id="not base64"),
            pytest.param({"binaryData": {"job.json.gz": "AAAA"}}, id="not gzip"),
            pytest.param({"binaryData": {"job.json.gz": CORRUPT}}, id="corrupt gzip"),
            pytest.param({"binaryData": {"job.json.gz": BOMB}}, id="gzip that unpacks to 64 MiB"),
        ],
    )
    def test_what_cannot_be_read_is_none(self, content: Any) -> None:
        assert job_file(content) is None

    def test_the_same_job_gives_the_same_bytes(self) -> None:
        (_, one), (_, two) = admitted(), admitted()
        assert one.compressed() == two.compressed()

    def test_ten_thousand_inputs_fit_easily(self) -> None:
        many = [{"file_id": f"plant/line-{n % 7}/sensor_{n:05}.csv"} for n in range(10_000)]
        inputs = make_spec()["inputs"] | {"worker.inference": many}
        _, file = admitted(make_batchjob(make_spec(inputs=inputs)))
        assert isinstance(file, JobFile)
        assert len(file.compressed()) < 150_000
