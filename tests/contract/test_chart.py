"""The chart and the manifests on the real API server, in a namespace and with object names of their own.

The release runs no operator (its pod fits no node), and leaves CRDs and built-in pipelines alone, so that it can live
beside an installed one.
"""

import copy
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import connection
from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl

pytestmark = pytest.mark.contract

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/batch-operator"
MANIFESTS = ROOT / "manifests"
OPERATOR = "system:serviceaccount:{0}:{0}-batch-operator"


@dataclass(frozen=True)
class Release:
    """A release of the chart; `name` is its namespace's name too."""

    name: str
    kubectl: Kubectl
    helm_program: str

    @property
    def fullname(self) -> str:
        return f"{self.name}-batch-operator"

    def helm(self, verb: str, *arguments: str) -> str:
        values = ("crds.enabled=false", "pipelines.machineStateClassification.enabled=false", "nodeSelector.none=here")
        sets = [part for value in values for part in ("--set", value)]
        chart = [] if verb == "uninstall" else [str(CHART), *sets]
        argv = [self.helm_program, verb, self.name, *chart, "-n", self.name, *arguments]
        environment = {**os.environ, "KUBECONFIG": str(self.kubectl.kubeconfig)}
        result = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def rendered(self) -> list[dict[str, Any]]:
        return [found for found in yaml.safe_load_all(self.helm("template", "--kube-version", "1.34.0")) if found]

    def apply(self, objects: list[dict[str, Any]], *arguments: str) -> str:
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        return self.kubectl.run("apply", "-f", "-", *arguments, stdin=listed)

    def may(self, who: str, verb: str, what: str, namespace: str = "") -> bool:
        """What the API server answers to `who` (a user) before it looks at the object."""
        group, _, resource = what.rpartition("/") if what.count("/") == 1 else ("", "", what)
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": who, "resourceAttributes": _attributes(verb, group, resource, namespace)},
        }
        answer = json.loads(self.kubectl.run("create", "-f", "-", "-o", "json", stdin=review))
        return bool(answer["status"]["allowed"])


def _attributes(verb: str, group: str, resource: str, namespace: str) -> dict[str, str]:
    """`resource` may be "plural", "plural:subresource" or "plural=name"."""
    plural, _, subresource = resource.partition(":")
    plural, _, name = plural.partition("=")
    given = {
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": subresource,
        "name": name,
        "namespace": namespace,
    }
    return {key: value for key, value in given.items() if value}


@pytest.fixture(scope="module")
def release() -> Iterator[Release]:
    try:
        cluster = connection.load()
    except ClusterError as trouble:
        pytest.skip(str(trouble))
    kubectl = cluster.client()
    kubectl.run("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    made = Release(f"chart-{secrets.token_hex(3)}", kubectl, cluster.helm)
    try:
        made.helm("install", "--create-namespace")
        yield made
    finally:
        made.helm("uninstall", "--ignore-not-found")
        kubectl.run("delete", "namespace", made.name, "--ignore-not-found", "--wait=false")


def secret_data(release: Release) -> dict[str, str]:
    data = release.kubectl.get("secret", f"{release.fullname}-tls", "-n", release.name).get("data", {})
    assert isinstance(data, dict)
    return data


def test_the_operators_tls_data_outlives_upgrades_and_applies(release: Release) -> None:
    assert secret_data(release) == {}
    written = {"ca.crt": "Y2E=", "tls.key": "a2V5"}
    target = ("secret", f"{release.fullname}-tls", "-n", release.name)
    release.kubectl.run("patch", *target, "--type=merge", "-p", json.dumps({"data": written}))
    release.helm("upgrade", "--set", "logLevel=DEBUG", "--set", "podLabels.changed=yes")
    assert secret_data(release) == written
    text = [found for found in release.rendered() if found["kind"] == "Secret"]
    release.apply(text)
    assert secret_data(release) == written
    release.apply(text, "--server-side", "--force-conflicts")
    assert secret_data(release) == written


def batchjob(release: Release, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "batch-operator.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": "guarded", "namespace": release.name},
        "spec": {
            "pipeline_type": "batch",
            "pipeline_key": "not-published",
            "parameters": {"worker": {"parallelism": 1, "config": config}},
        },
    }


@pytest.fixture(scope="module")
def guarded_job(release: Release) -> dict[str, Any]:
    """A job whose config the policy guards by now: the API server takes a moment to load a new policy."""
    job = batchjob(release, {"batch_size": 32, "reader": {"window": 64}})
    release.apply([job])

    def refuses(_: Kubectl) -> bool:
        try:
            release.apply([batchjob(release, {"batch_sizes": 32, "reader": {"window": 64}})], "--dry-run=server")
        except ClusterError:
            return True
        return False

    release.kubectl.wait_until("the admission policy", 30, refuses)
    return job


@pytest.mark.parametrize(
    "config",
    [
        {"batch_sizes": 32, "reader": {"window": 64}},
        {"batch_size": 32, "reader": {"windows": 64}},
        {"batch_size": 33, "reader": {"window": 64}},
        {"batch_size": 32},
        {"batch_size": 32, "reader": {"window": 64}, "more": True},
    ],
    ids=["renamed-key", "renamed-inner-key", "other-value", "dropped-key", "added-key"],
)
@pytest.mark.usefixtures("guarded_job")
def test_a_jobs_config_cannot_change(release: Release, config: dict[str, Any]) -> None:
    with pytest.raises(ClusterError, match=r"spec\.parameters is immutable|parameters cannot be changed"):
        release.kubectl.run("replace", "-f", "-", "--dry-run=server", stdin=batchjob(release, config))


def test_the_policy_lets_everything_else_through(release: Release, guarded_job: dict[str, Any]) -> None:
    job = copy.deepcopy(guarded_job)
    job["metadata"]["labels"] = {"seen": "yes"}
    job["spec"]["policy"] = {"max_failed_inputs": 2}
    release.apply([job])
    target = ("batchjob", "guarded", "-n", release.name)
    release.kubectl.run(
        "patch", *target, "--subresource=status", "--type=merge", "-p", '{"status": {"status": "PENDING"}}'
    )
    assert release.kubectl.get(*target)["spec"]["policy"] == {"max_failed_inputs": 2}


def test_the_policys_expression_fits_the_types(release: Release) -> None:
    name = f"{release.fullname}-parameters"

    def checked(kubectl: Kubectl) -> bool:
        return "typeChecking" in kubectl.get("validatingadmissionpolicy", name).get("status", {})

    release.kubectl.wait_until("the policy's type check", 30, checked)
    status = release.kubectl.get("validatingadmissionpolicy", name)["status"]
    assert status["typeChecking"] == {}, "expressionWarnings"


GROUP = "batch-operator.dev"


@pytest.mark.parametrize(
    ("verb", "what", "where", "allowed"),
    [
        ("watch", f"{GROUP}/batchjobs", "", True),
        ("list", f"{GROUP}/clusterpipelines", "", True),
        ("patch", f"{GROUP}/batchjobs:status", "default", True),
        ("watch", f"{GROUP}/queues", "", True),
        ("patch", f"{GROUP}/queues:status", "", True),
        ("patch", f"{GROUP}/queues", "", False),
        ("get", "scheduling.k8s.io/priorityclasses", "", True),
        ("list", "scheduling.k8s.io/priorityclasses", "", False),
        ("create", "pods", "default", True),
        ("watch", "nodes", "", True),
        ("patch", "nodes", "", False),
        ("create", "events.k8s.io/events", "default", True),
        ("delete", "configmaps", "default", True),
        ("create", "authentication.k8s.io/tokenreviews", "", True),
        ("update", f"{GROUP}/batchjobs", "default", False),
        ("delete", f"{GROUP}/batchjobs", "default", True),
        ("create", f"{GROUP}/clusterpipelines", "", False),
        ("create", "pods:exec", "default", False),
        ("list", "configmaps", "default", False),
        ("get", "namespaces", "", False),
        ("get", "secrets", "default", False),
    ],
)
def test_what_the_operator_may(release: Release, verb: str, what: str, where: str, allowed: bool) -> None:
    assert release.may(OPERATOR.format(release.name), verb, what, where) is allowed


def test_of_secrets_the_operator_may_use_its_own_alone(release: Release) -> None:
    who, own = OPERATOR.format(release.name), f"secrets={release.fullname}-tls"
    assert release.may(who, "get", own, release.name)
    assert release.may(who, "update", own, release.name)
    assert not release.may(who, "delete", own, release.name)
    assert not release.may(who, "get", "secrets=another", release.name)
    assert not release.may(who, "list", "secrets", release.name)


@pytest.mark.parametrize(
    ("resource", "suffix", "verbs"),
    [
        ("coordination.k8s.io/leases", "", {"get", "create", "update"}),
        ("discovery.k8s.io/endpointslices", "-progress", {"list", "watch", "create", "patch"}),
    ],
    ids=["lease", "endpoint-slice"],
)
def test_what_the_leader_keeps_it_may_write_by_name_alone(
    release: Release, resource: str, suffix: str, verbs: set[str]
) -> None:
    who = OPERATOR.format(release.name)
    own = f"{resource}={release.fullname}{suffix}"
    every = ("get", "list", "watch", "create", "update", "patch", "delete")
    assert {verb for verb in every if release.may(who, verb, own, release.name)} == verbs
    elsewhere = (f"{resource}=another", release.name), (resource, release.name), (own, "default")
    assert not [what for what, where in elsewhere if release.may(who, "create", what, where)]


def test_an_editor_writes_jobs_and_no_pipelines(release: Release) -> None:
    binding = ("rolebinding", "editor", "--clusterrole=edit", "--user=erin", "-n", release.name)
    release.kubectl.run("create", *binding)
    release.kubectl.wait_until(
        "the aggregated role edit", 30, lambda _: release.may("erin", "create", f"{GROUP}/batchjobs", release.name)
    )
    assert release.may("erin", "get", f"{GROUP}/pipelines", release.name)
    assert not release.may("erin", "create", f"{GROUP}/pipelines", release.name)
    assert not release.may("erin", "patch", f"{GROUP}/batchjobs:status", release.name)
    assert not release.may("erin", "create", f"{GROUP}/queues")


def test_teams_can_be_let_to_read_queues_and_others_to_write_them(release: Release) -> None:
    readers, editors = f"{release.fullname}-cluster-viewer", f"{release.fullname}-queue-editor"
    names = [f"{release.name}-{who}" for who in ("ruth", "quentin")]
    try:
        for name, role, user in zip(names, (readers, editors), ("ruth", "quentin"), strict=True):
            release.kubectl.run("create", "clusterrolebinding", name, f"--clusterrole={role}", f"--user={user}")
        release.kubectl.wait_until(
            "the bindings", 30, lambda _: release.may("quentin", "update", f"{GROUP}/queues=research")
        )
        assert release.may("ruth", "list", f"{GROUP}/queues")
        assert not release.may("ruth", "update", f"{GROUP}/queues=research")
        assert not release.may("quentin", "patch", f"{GROUP}/queues:status")
        assert not release.may("quentin", "create", f"{GROUP}/clusterpipelines")
    finally:
        release.kubectl.run("delete", "clusterrolebinding", *names, "--ignore-not-found")


def test_the_operators_pod_passes_the_restricted_profile(release: Release) -> None:
    level = "pod-security.kubernetes.io/enforce=restricted"
    release.kubectl.run("label", "namespace", release.name, level, "--overwrite")
    deployment = next(found for found in release.rendered() if found["kind"] == "Deployment")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "as-the-operator", "namespace": release.name},
        "spec": deployment["spec"]["template"]["spec"],
    }
    release.kubectl.run("create", "-f", "-", "--dry-run=server", stdin=pod)
    del pod["spec"]["securityContext"]["runAsNonRoot"]
    with pytest.raises(ClusterError, match="violates PodSecurity"):
        release.kubectl.run("create", "-f", "-", "--dry-run=server", stdin=pod)


@pytest.mark.parametrize(
    "path",
    [MANIFESTS / "install.yaml", MANIFESTS / "pipelines.yaml", *sorted((MANIFESTS / "samples").glob("*.yaml"))],
    ids=lambda path: path.name,
)
def test_the_server_takes_every_manifest_and_every_field(release: Release, path: Path) -> None:
    text = path.read_text()
    ours = {
        "batch-operator-system": release.name,
        "namespace: default": f"namespace: {release.name}",
        "batch-data-default": f"batch-data-{release.name}",
    }
    for theirs, name in ours.items():
        text = text.replace(theirs, name)
    objects = [found for found in yaml.safe_load_all(text) if found]
    for found in objects:
        if found["kind"] == "ClusterPipeline":  # an installed one is immutable, and may hold another image
            found["metadata"]["name"] += f"-{release.name}"
    release.apply(objects, "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
