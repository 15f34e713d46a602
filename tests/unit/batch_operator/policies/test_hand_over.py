"""Who is handed over to Kueue."""

import pytest

from batch_operator.policies.hand_over import local_queue

QUEUE = "kueue.x-k8s.io/queue-name"
MANAGED = "kueue.x-k8s.io/managed-namespace"


@pytest.mark.parametrize(
    ("on_job", "on_namespace", "expected"),
    [
        ("", None, ""),
        ("", {}, ""),
        ("gpu", None, "gpu"),
        ("gpu", {QUEUE: "cpu", MANAGED: "true"}, "gpu"),
        ("", {QUEUE: "cpu", MANAGED: "true"}, "cpu"),
        ("", {QUEUE: "", MANAGED: "true"}, "default"),
        ("", {MANAGED: "true"}, "default"),
        ("", {"kueue.openshift.io/managed": "true"}, "default"),
        ("", {MANAGED: "false"}, ""),
        ("", {"kubernetes.io/metadata.name": "team-a"}, ""),
    ],
    ids=[
        "labels not read",
        "no labels",
        "the job's",
        "the job's before the namespace's",
        "the namespace's queue",
        "an empty name is none",
        "managed namespace",
        "managed by OpenShift's",
        "not managed",
        "others' labels",
    ],
)
def test_the_local_queue(on_job: str, on_namespace: dict[str, str] | None, expected: str) -> None:
    assert local_queue(on_job, on_namespace) == expected
