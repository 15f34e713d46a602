"""values.schema.json: a slip of the pen in values is refused by name, not ignored."""

from collections.abc import Callable

import pytest

from tests.unit.chart.conftest import HelmError

PIPELINE = "pipelines.machineStateClassification"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("replicaCount=2", "'replicaCount' not allowed"),
        ("replicas=-1", "/replicas"),
        ("leaderElection.leaseSeconds=0", "/leaderElection/leaseSeconds"),
        ("leaderElection.enabled=false", "'enabled' not allowed"),
        ("crds.enable=false", "'enable' not allowed"),
        ("crds.keep=maybe", "/crds/keep"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.digest=latest", "/image/digest"),
        ("progress.address=loadbalancer", "/progress/address"),
        ("progress.port=443", "/progress/port"),
        ("queues.research.quota.pods=5", "'research' not allowed"),
        ("queues.namespaceLabels.enabled=maybe", "/queues/namespaceLabels/enabled"),
        ("logLevel=TRACE", "/logLevel"),
        ("workers=0", "/workers"),
        ("workers=2.5", "/workers"),
        ("securityContext.runAsUser=0", "'securityContext' not allowed"),
        (f"{PIPELINE}.storage.inputs_url=/data/files", "inputs_url"),
        (f"{PIPELINE}.storage.volume.hostPath=/data", "'hostPath' not allowed"),
        (f"{PIPELINE}.component.command={{sh}}", "'command' not allowed"),
        (f"{PIPELINE}.component.resources.gpu.count=0", "gpu/count"),
        (f"{PIPELINE}.status=draft", "/status"),
    ],
    ids=lambda value: value if "=" in value else "",
)
def test_refused(render_text: Callable[..., str], value: str, words: str) -> None:
    with pytest.raises(HelmError) as refusal:
        render_text(value)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "values",
    [("leaderElection.deadlineSeconds=15",), ("leaderElection.retrySeconds=5",)],
    ids=["a-leader-that-outlives-its-lease", "no-second-try-to-renew"],
)
def test_terms_that_let_two_lead_are_refused(render_text: Callable[..., str], values: tuple[str, ...]) -> None:
    with pytest.raises(HelmError, match="deadlineSeconds must be less than leaseSeconds"):
        render_text(*values)


def test_an_account_that_is_not_made_must_be_named(render_text: Callable[..., str]) -> None:
    with pytest.raises(HelmError, match=r"serviceAccount\.name: name an existing ServiceAccount"):
        render_text("serviceAccount.create=false")
    assert "kind: ServiceAccount\nmetadata" not in render_text(
        "serviceAccount.create=false", "serviceAccount.name=mine"
    )
