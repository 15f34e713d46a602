"""What the bare scripts play is what the operator's core plans."""

import json

import pytest

from tests.bench import own_writes
from tests.bench.contender import ENDLESS, Shape, pod_image


@pytest.mark.parametrize("pods", [1, 20, 2000])
def test_a_job_s_writes_are_a_configmap_its_pods_and_patches_that_end_it(pods: int) -> None:
    writes = own_writes.of(Shape(pods))
    names = {json.loads(pod)["metadata"]["name"] for pod in writes.pods}
    assert len(names) == pods
    assert all(name.startswith(own_writes.NAME) for name in names)
    states = [json.loads(patch)["status"]["status"] for patch in writes.patches]
    assert states == ["ADMITTED", "RUNNING", "COMPLETED"]
    assert json.loads(writes.end)["status"]["status"] == "COMPLETED"
    assert json.loads(writes.configmap)["metadata"]["name"].startswith(own_writes.NAME)


def test_every_body_names_job_uid_and_version_by_their_placeholders() -> None:
    writes = own_writes.of(Shape(1))
    assert own_writes.UID in writes.pods[0]
    assert own_writes.NAMESPACE in writes.pods[0]
    assert all(own_writes.VERSION in patch for patch in (*writes.patches, writes.end))


@pytest.mark.parametrize(
    ("seconds", "image"),
    [(0.0, "example.org/bench:0ms"), (0.2, "example.org/bench:200ms"), (ENDLESS, "example.org/bench:endless")],
    ids=["at once", "200 ms", "endless"],
)
def test_an_image_says_when_its_pod_ends(seconds: float, image: str) -> None:
    assert pod_image(seconds) == image
    assert own_writes.pod_spec(seconds)["containers"][0]["image"] == image
