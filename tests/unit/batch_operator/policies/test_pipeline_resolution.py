import pytest

from batch_operator.api.v1alpha1.conditions import Reason
from batch_operator.policies.pipeline_resolution import resolve
from batch_operator.policies.verdict import Stalled
from batch_operator.snapshot import PipelineRecord
from tests.builders import make_pipeline


def versions(*texts: str, namespace: str = "", status: str = "published") -> list[PipelineRecord]:
    return [make_pipeline(f"p-{namespace}{text}".lower(), namespace, version=text, status=status) for text in texts]


@pytest.mark.parametrize(
    ("registry", "asked", "found"),
    [
        pytest.param(versions("1.9.0", "1.10.0"), None, ("", "1.10.0"), id="latest is by SemVer, not by text"),
        pytest.param(versions("2.0.0-rc.1", "1.0.0"), None, ("", "2.0.0-rc.1"), id="a pre-release is above 1.0.0"),
        pytest.param(versions("2.0.0-rc.1", "2.0.0"), None, ("", "2.0.0"), id="a release is above its pre-release"),
        pytest.param(
            versions("9.0.0") + versions("1.0.0", namespace="team-a"),
            None,
            ("team-a", "1.0.0"),
            id="the namespace's own come first",
        ),
        pytest.param(
            versions("1.0.0") + versions("2.0.0", namespace="team-a"),
            "1.0.0",
            ("", "1.0.0"),
            id="an exact version may come from the cluster",
        ),
        pytest.param(
            versions("1.0.0") + versions("2.0.0", status="draft") + versions("3.0.0", status="deactivated"),
            None,
            ("", "1.0.0"),
            id="drafts and deactivated ones do not count",
        ),
        pytest.param(
            versions("1.0.0", namespace="team-a", status="draft") + versions("0.9.0"),
            None,
            ("", "0.9.0"),
            id="a namespace with drafts only has none",
        ),
    ],
)
def test_what_runs(registry: list[PipelineRecord], asked: str | None, found: tuple[str, str]) -> None:
    result = resolve(registry, "classify", asked)
    assert isinstance(result, PipelineRecord), result
    assert (result.namespace, result.spec["version"]) == found


@pytest.mark.parametrize(
    ("registry", "asked", "reason", "words"),
    [
        pytest.param(
            versions("1.2.0-01"), None, Reason.PIPELINE_NOT_FOUND, "no published version", id="a version that is none"
        ),
        pytest.param([], None, Reason.PIPELINE_NOT_FOUND, "'classify' not found in registry", id="unknown key"),
        pytest.param(
            versions("1.0.0"), "2.0.0", Reason.PIPELINE_NOT_FOUND, r"there is 1.0.0 \(published\)", id="unknown version"
        ),
        pytest.param(
            versions("1.0.0", status="draft"),
            None,
            Reason.PIPELINE_NOT_FOUND,
            r"no published version; there is 1.0.0 \(draft\)",
            id="only a draft",
        ),
        pytest.param(
            [make_pipeline("a"), make_pipeline("b")], None, Reason.AMBIGUOUS_PIPELINE, "a, b", id="twins in one scope"
        ),
    ],
)
def test_why_a_job_stalls(registry: list[PipelineRecord], asked: str | None, reason: Reason, words: str) -> None:
    result = resolve(registry, "classify", asked)
    assert isinstance(result, Stalled)
    assert result.reason is reason
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(result.message)


def test_a_pinned_version_counts_in_whatever_state_it_is_now() -> None:
    result = resolve(versions("1.0.0", status="deactivated"), "classify", "1.0.0", pinned=True)
    assert isinstance(result, PipelineRecord)
