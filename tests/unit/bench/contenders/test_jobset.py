from pathlib import Path

import pytest
import yaml

from tests.bench.contender import JOB_NAME, Limits, Shape
from tests.bench.contenders.jobset import program
from tests.bench.contenders.jobset.contender import JobSet
from tests.bench.contenders.jobset.program import Installation


def _webhook(name: str, path: str, **more: object) -> dict[str, object]:
    return {"name": name, "clientConfig": {"service": {"name": "s", "namespace": "n", "path": path}}, **more}


@pytest.fixture
def installed(tmp_path: Path) -> Installation:
    """Manifests of the form that the module's have."""
    configurations = [
        {
            "kind": f"{kind}WebhookConfiguration",
            "metadata": {"name": f"{kind.lower()}-webhook-configuration"},
            "webhooks": [_webhook("jobs", f"/{kind}-jobset"), _webhook("pods", f"/{kind}-pod")],
        }
        for kind in ("Mutating", "Validating")
    ]
    (tmp_path / "webhooks.yaml").write_text(yaml.safe_dump_all(configurations))
    for kind in ("Mutating", "Validating"):
        value = _webhook("pods", f"/{kind}-pod", objectSelector={"matchExpressions": []})
        patch = [{"op": "replace", "path": "/webhooks/1", "value": value}]
        (tmp_path / f"{kind.lower()}-patch.yaml").write_text(yaml.safe_dump(patch))
    return Installation(tmp_path)


def test_every_webhook_is_asked_at_the_given_server(installed: Installation) -> None:
    found = installed.webhooks("https://127.0.0.1:9443", "Q0E=")
    asked = [webhook["clientConfig"] for configuration in found for webhook in configuration["webhooks"]]
    paths = ("/Mutating-jobset", "/Mutating-pod", "/Validating-jobset", "/Validating-pod")
    assert asked == [{"url": f"https://127.0.0.1:9443{path}", "caBundle": "Q0E="} for path in paths]


def test_pods_of_others_are_not_asked_about(installed: Installation) -> None:
    for configuration in installed.webhooks("https://127.0.0.1:9443", "Q0E="):
        assert "objectSelector" in configuration["webhooks"][1], configuration["metadata"]["name"]


def test_a_patch_that_does_something_else_is_not_passed_over(installed: Installation) -> None:
    (installed.directory / "mutating-patch.yaml").write_text("[{op: add, path: /metadata/labels, value: {}}]")
    with pytest.raises(ValueError, match="/metadata/labels"):
        installed.webhooks("https://127.0.0.1:9443", "Q0E=")


def test_the_version_is_the_modules() -> None:
    assert program.version() == "v0.10.1"
    assert program.directory().name.startswith("jobset-v0.10.1-")


def test_the_manifest_asks_for_all_pods_at_once() -> None:
    manifest = JobSet().manifest(JOB_NAME % 7, Shape(20, 0.2))
    (replicated,) = manifest["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    assert (replicated["replicas"], job["completions"], job["parallelism"]) == (1, 20, 20)
    assert job["template"]["spec"]["containers"][0]["image"] == "example.org/bench:200ms"


@pytest.mark.parametrize(("limits", "has_service"), [(Limits.SHIPPED, True), (Limits.TUNED, False)])
def test_only_the_shipped_one_makes_a_service(limits: Limits, has_service: bool) -> None:
    network = JobSet(limits).manifest(JOB_NAME % 7, Shape(1))["spec"].get("network", {})
    assert network.get("enableDNSHostnames", True) is has_service


@pytest.mark.parametrize(
    ("status", "outcome"),
    [({}, ""), ({"terminalState": "Completed"}, "succeeded"), ({"terminalState": "Failed"}, "Failed: None")],
)
def test_outcome(status: dict[str, str], outcome: str) -> None:
    assert JobSet().outcome({"status": status}) == outcome
