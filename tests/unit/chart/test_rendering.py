"""What the chart renders: rights, pod security, no key material, switches."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import batch_operator
from batch_operator.api import names
from batch_operator.config import Settings
from tests.unit.chart.conftest import CHART, NAMESPACE, ROOT, Render, only

NAME = "batch-operator"
PIPELINE = "machine-state-classification-1.1.1"
CRDS = sorted(path.name for path in (ROOT / "crds").glob("*.yaml"))


EVERY_KIND = ("batchjobs", "pipelines", "clusterpipelines", "queues")


def rules(role: dict[str, Any]) -> dict[tuple[str, ...], list[str]]:
    """(group/resource[/name], ...) -> verbs."""
    return {
        tuple(
            "/".join(filter(None, (group, resource, *rule.get("resourceNames", []))))
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        ): rule["verbs"]
        for rule in role["rules"]
    }


def environment(deployment: dict[str, Any]) -> dict[str, str]:
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {e["name"]: e.get("value", "<from the pod>") for e in container["env"]}


def test_the_operators_rights_are_these_and_no_others(render: Render) -> None:
    objects = render()
    own = names.GROUP
    assert rules(only(objects, "ClusterRole", NAME)) == {
        tuple(f"{own}/{kind}" for kind in EVERY_KIND): ["get", "list", "watch"],
        (f"{own}/batchjobs/status", f"{own}/queues/status"): ["patch"],
        (f"{own}/batchjobs",): ["delete"],
        ("pods",): ["get", "list", "watch", "create", "delete"],
        ("nodes",): ["list", "watch"],
        ("configmaps",): ["get", "create", "delete"],
        ("scheduling.k8s.io/priorityclasses",): ["get"],
        ("events.k8s.io/events",): ["create"],
        ("authentication.k8s.io/tokenreviews",): ["create"],
    }
    assert rules(only(objects, "Role")) == {
        ("secrets/batch-operator-tls",): ["get", "update"],
        ("coordination.k8s.io/leases/batch-operator",): ["get", "create", "update"],
        ("discovery.k8s.io/endpointslices/batch-operator-progress",): ["list", "watch", "create", "patch"],
    }


@pytest.mark.parametrize("kind", ["ClusterRoleBinding", "RoleBinding"])
def test_rights_are_bound_to_the_operators_account_alone(render: Render, kind: str) -> None:
    binding = only(render(), kind)
    assert binding["roleRef"]["name"] == NAME
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]


@pytest.mark.parametrize("value", ["orgLabels.enabled", "queues.namespaceLabels.enabled"])
def test_who_wants_the_labels_of_namespaces_reads_namespaces(render: Render, value: str) -> None:
    objects = render(f"{value}=true")
    assert rules(only(objects, "ClusterRole", NAME))[("namespaces",)] == ["get"]
    given = environment(only(objects, "Deployment"))["BATCH_OPERATOR_ORG_LABELS"]
    assert given == ("true" if value.startswith("orgLabels") else "false")


def aggregated(objects: list[dict[str, Any]], persona: str) -> dict[str, set[str]]:
    """Resource -> verbs that the cluster's role `persona` gains."""
    label = f"rbac.authorization.k8s.io/aggregate-to-{persona}"
    gained: dict[str, set[str]] = {}
    for role in objects:
        if role["kind"] == "ClusterRole" and role["metadata"]["labels"].get(label) == "true":
            for rule in role["rules"]:
                assert rule["apiGroups"] == [names.GROUP]
                for resource in rule["resources"]:
                    gained.setdefault(resource, set()).update(rule["verbs"])
    return gained


READ = {"get", "list", "watch"}
WRITE = {"create", "update", "patch", "delete", "deletecollection"}


@pytest.mark.parametrize(
    ("persona", "gained"),
    [
        ("view", {}),
        ("edit", {"batchjobs": READ | WRITE}),
        ("admin", {"batchjobs": READ | WRITE, "pipelines": READ | WRITE}),
    ],
)
def test_who_may_edit_jobs_writes_neither_registry_nor_queues(
    render: Render, persona: str, gained: dict[str, set[str]]
) -> None:
    assert aggregated(render(), persona) == dict.fromkeys(EVERY_KIND, READ) | gained
    assert aggregated(render("rbac.aggregate=false"), persona) == {}


@pytest.mark.parametrize(
    ("suffix", "verbs"),
    [
        ("registry-editor", {"pipelines": READ | WRITE, "clusterpipelines": READ | WRITE}),
        ("queue-editor", {"queues": READ | WRITE}),
        ("cluster-viewer", {"clusterpipelines": READ, "queues": READ}),
    ],
)
def test_roles_that_reach_beyond_a_namespace_are_bound_by_hand(
    render: Render, suffix: str, verbs: dict[str, set[str]]
) -> None:
    role = only(render(), "ClusterRole", f"{NAME}-{suffix}")
    granted = {what.removeprefix(f"{names.GROUP}/"): set(of) for kinds, of in rules(role).items() for what in kinds}
    assert granted == verbs
    assert not [label for label in role["metadata"]["labels"] if "aggregate-to" in label]


def test_the_pod_fits_the_restricted_profile(render: Render) -> None:
    pod = only(render(), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert [c["securityContext"] for c in pod["containers"]] == [
        {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    ]
    assert [set(volume) - {"name"} for volume in pod["volumes"]] == [{"emptyDir"}]
    assert "hostNetwork" not in pod


def test_the_new_operator_is_ready_before_the_old_one_ends(render: Render) -> None:
    spec = only(render(), "Deployment")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def test_more_than_one_are_spread_and_drained_one_after_the_other(render: Render) -> None:
    assert not [o for o in render() if o["kind"] == "PodDisruptionBudget"]
    assert "topologySpreadConstraints" not in only(render(), "Deployment")["spec"]["template"]["spec"]
    objects = render("replicas=2")
    deployment = only(objects, "Deployment")["spec"]
    labels = deployment["selector"]
    assert deployment["replicas"] == 2
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["whenUnsatisfiable"], spread["labelSelector"]) == ("ScheduleAnyway", labels)
    assert only(objects, "PodDisruptionBudget")["spec"] == {"maxUnavailable": 1, "selector": labels}


def test_the_leader_is_named_nowhere_in_the_text(render: Render) -> None:
    objects = render("replicas=2")
    given = environment(only(objects, "Deployment"))
    lease = only(objects, "Lease")
    assert (sorted(lease), lease["metadata"]["name"]) == (["apiVersion", "kind", "metadata"], "batch-operator")
    assert given["BATCH_OPERATOR_LEASE"] == lease["metadata"]["name"]
    service = only(objects, "Service", given["BATCH_OPERATOR_PROGRESS_SERVICE"])
    assert "selector" not in service["spec"], "Kubernetes itself would lead it to every replica"
    assert not [o for o in objects if o["kind"] == "EndpointSlice"]


def test_probes_ask_the_operators_own_answers(render: Render) -> None:
    container = only(render(), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    asked = {name: container[name]["httpGet"] for name in container if name.endswith("Probe")}
    assert asked == {
        "startupProbe": {"path": "/healthz", "port": "http"},
        "livenessProbe": {"path": "/healthz", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }


def test_no_key_and_no_certificate_is_in_the_text(render_text: Callable[..., str]) -> None:
    text = render_text()
    assert not re.search(r"BEGIN [A-Z ]*(KEY|CERTIFICATE)|LS0tLS1|tls\.(key|crt):", text)
    secrets = [o for o in yaml.safe_load_all(text) if o and o["kind"] == "Secret"]
    assert [sorted(secret) for secret in secrets] == [["apiVersion", "kind", "metadata", "type"]]


@pytest.mark.parametrize("name", CRDS)
def test_crds_are_the_generated_ones_word_for_word(render: Render, name: str) -> None:
    source = yaml.safe_load((ROOT / "crds" / name).read_text())
    rendered = only(render(), "CustomResourceDefinition", source["metadata"]["name"])
    assert rendered["spec"] == source["spec"]
    assert rendered["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_crds_can_be_left_out_or_given_up(render: Render) -> None:
    assert not [o for o in render("crds.enabled=false") if o["kind"] == "CustomResourceDefinition"]
    given_up = [o for o in render("crds.keep=false") if o["kind"] == "CustomResourceDefinition"]
    assert len(given_up) == len(CRDS) > 0
    assert not [o for o in given_up if "helm.sh/resource-policy" in o["metadata"].get("annotations", {})]


def test_crds_stay_far_from_the_limits_of_helm_and_kubectl() -> None:
    sizes = [path.stat().st_size for path in (CHART / "files/crds").glob("*.yaml")]
    assert sizes
    assert max(sizes) <= 200_000
    assert sum(sizes) <= 600_000


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ((), f"https://batch-operator-progress.{NAMESPACE}.svc:8443"),
        (("progress.address=clusterIP",), "https://$(BATCH_OPERATOR_PROGRESS_SERVICE_HOST):8443"),
        (("fullnameOverride=jobs", "progress.address=clusterIP"), "https://$(JOBS_PROGRESS_SERVICE_HOST):8443"),
        (("progress.port=9443",), f"https://batch-operator-progress.{NAMESPACE}.svc:9443"),
    ],
    ids=["dns", "cluster-ip", "other-name", "other-port"],
)
def test_workers_are_told_where_progress_goes(render: Render, values: tuple[str, ...], url: str) -> None:
    deployment = only(render(*values), "Deployment")
    assert environment(deployment)["BATCH_OPERATOR_PROGRESS_URL"] == url
    by_address = "progress.address=clusterIP" in values
    assert deployment["spec"]["template"]["spec"]["enableServiceLinks"] is by_address


def test_a_services_own_port_variable_never_becomes_a_setting(render: Render) -> None:
    # The Service batch-operator-progress puts BATCH_OPERATOR_PROGRESS_PORT=tcp://... into pods of its namespace.
    given = environment(only(render("progress.address=clusterIP", "progress.port=9443"), "Deployment"))
    assert given["BATCH_OPERATOR_PROGRESS_PORT"] == "9443"
    assert given["BATCH_OPERATOR_HTTP_PORT"] == "8080"


def test_every_variable_is_a_setting_of_the_operator(render: Render) -> None:
    settings = {f"BATCH_OPERATOR_{field.upper()}" for field in Settings.model_fields}
    given = set(environment(only(render(), "Deployment")))
    assert given <= settings
    assert settings - given == {"BATCH_OPERATOR_BIND_ADDRESS"}


def test_the_installation_page_lists_every_setting_with_its_default() -> None:
    rows = re.findall(
        r"^\| (BATCH_OPERATOR_\w+) \| (.*?) ?\|", (ROOT / "docs/installation.md").read_text(), re.MULTILINE
    )
    defaults = {f"BATCH_OPERATOR_{n.upper()}": field.default for n, field in Settings.model_fields.items()}
    assert dict(rows) == {n: str(v).lower() if isinstance(v, bool) else str(v) for n, v in defaults.items()}


def test_large_numbers_reach_the_operator_as_digits(render: Render) -> None:
    # Numbers of a values file are floats to Helm, and it would print 2e+06.
    given = environment(only(render(file="auditIntervalSeconds: 2000000"), "Deployment"))
    assert given["BATCH_OPERATOR_AUDIT_INTERVAL_SECONDS"] == "2000000"


def test_the_pipeline_is_the_file_with_image_and_store_from_the_values(render: Render) -> None:
    source = yaml.safe_load((CHART / f"files/pipelines/{PIPELINE}.yaml").read_text())["spec"]
    spec = only(render("pipelines.machineStateClassification.image.tag=v7"), "ClusterPipeline", PIPELINE)["spec"]
    assert spec["components"]["worker"]["image"] == "batch-operator-worker:v7"
    assert spec["storage"]["volume"] == {"persistent_volume_claim": "batch-data", "mount_path": "/data"}
    for field in ("input_ports", "output_ports", "default_config", "user_config_schema", "key", "version", "type"):
        assert spec[field] == source[field]


def test_the_pipeline_can_do_without_gpu_and_volume(render: Render) -> None:
    prefix = "pipelines.machineStateClassification"
    objects = render(f"{prefix}.component.resources.gpu=null", f"{prefix}.storage.volume=null")
    spec = only(objects, "ClusterPipeline")["spec"]
    assert spec["components"]["worker"]["resources"] == {"cpu": "1", "memory": "1Gi", "ephemeral_storage": "1Gi"}
    assert "volume" not in spec["storage"]


def test_the_pipeline_can_be_left_out(render: Render) -> None:
    objects = render("pipelines.machineStateClassification.enabled=false")
    assert not [o for o in objects if o["kind"] == "ClusterPipeline"]


def test_an_image_is_named_by_digest_where_there_is_one(render: Render) -> None:
    digest = "sha256:" + "a" * 64
    pod = only(render(f"image.digest={digest}", "image.tag=v1"), "Deployment")["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == f"batch-operator@{digest}"


def test_without_a_tag_the_image_is_that_of_this_version(render: Render) -> None:
    pod = only(render(), "Deployment")["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == f"batch-operator:{batch_operator.__version__}"


def test_network_policy_lets_workers_reach_the_progress_port(render: Render) -> None:
    assert not [o for o in render() if o["kind"] == "NetworkPolicy"]
    workers = only(render("networkPolicy.enabled=true"), "NetworkPolicy")["spec"]["ingress"][0]
    key, value = names.POD_SELECTOR.split("=")
    assert workers["from"] == [{"namespaceSelector": {}, "podSelector": {"matchLabels": {key: value}}}]
    assert workers["ports"] == [{"port": "progress", "protocol": "TCP"}]


def test_every_namespaced_object_names_its_namespace(render: Render) -> None:
    cluster_wide = {
        "ClusterPipeline",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    for found in render("networkPolicy.enabled=true"):
        expected = None if found["kind"] in cluster_wide else NAMESPACE
        assert found["metadata"].get("namespace") == expected, found["kind"]


def test_the_manifests_are_those_of_the_chart(helm: str, tmp_path: Path) -> None:
    subprocess.run(["sh", ROOT / "helm/render.sh", tmp_path], check=True, env={**os.environ, "HELM": helm})
    for name in ("install.yaml", "pipelines.yaml"):
        assert (ROOT / "manifests" / name).read_text() == (tmp_path / name).read_text(), "run make generate"
