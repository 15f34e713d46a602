import pytest

from batch_operator.cluster.resource_paths import BATCH_JOBS, CLUSTER_PIPELINES, PODS, resource_of


@pytest.mark.parametrize(
    ("path", "expected", "label"),
    [
        pytest.param(PODS.path(), "/api/v1/pods", "pods", id="core-all-namespaces"),
        pytest.param(PODS.path("a"), "/api/v1/namespaces/a/pods", "pods", id="core-collection"),
        pytest.param(PODS.path("a", "b"), "/api/v1/namespaces/a/pods/b", "pods", id="core-object"),
        pytest.param(
            BATCH_JOBS.path("a", "b", "status"),
            "/apis/batch-operator.dev/v1alpha1/namespaces/a/batchjobs/b/status",
            "batchjobs/status",
            id="group-subresource",
        ),
        pytest.param(
            CLUSTER_PIPELINES.path(name="p"),
            "/apis/batch-operator.dev/v1alpha1/clusterpipelines/p",
            "clusterpipelines",
            id="cluster-scoped",
        ),
        pytest.param(PODS.path("a", "b/../c"), "/api/v1/namespaces/a/pods/b%2F..%2Fc", "pods", id="quoted"),
    ],
)
def test_paths_and_their_labels(path: str, expected: str, label: str) -> None:
    assert path == expected
    assert resource_of(path) == label


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/api/v1/namespaces", "namespaces"),
        ("/api/v1/namespaces/team-a", "namespaces"),
        ("/api/v1/namespaces/team-a/status", "namespaces/status"),
        ("/version", "other"),
        ("/openapi/v2", "other"),
        ("/", "other"),
    ],
)
def test_a_label_never_holds_an_object_s_name(path: str, label: str) -> None:
    assert resource_of(path) == label
