"""What an image is made of decides when it is built again; the sandbox's image needs no builder at all."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.cluster import archives, build_context
from tests.cluster.errors import ClusterError


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    locks = (f"requirements/{name}.txt" for name in ("build", "operator", "worker"))
    for name in ("pyproject.toml", "README.md", "LICENSE", *locks):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "operator/batch_worker").mkdir(parents=True)
    (tmp_path / "operator/Dockerfile").write_text("FROM x")
    (tmp_path / "operator/batch_worker/sdk.py").write_text("1")
    return tmp_path


@pytest.mark.parametrize("changed", ["operator/batch_worker/sdk.py", "operator/Dockerfile", "requirements/worker.txt"])
def test_a_changed_input_changes_the_key(checkout: Path, changed: str) -> None:
    before = build_context.key("base:1", checkout)
    (checkout / changed).write_text("something else")
    assert build_context.key("base:1", checkout) != before


def test_another_base_changes_the_key(checkout: Path) -> None:
    assert build_context.key("base:1", checkout) != build_context.key("base:2", checkout)


@pytest.mark.parametrize("left", ["tests/x.py", "operator/batch_worker/__pycache__/sdk.cpython-311.pyc"])
def test_what_no_image_holds_leaves_the_key(checkout: Path, left: str) -> None:
    before = build_context.key("base:1", checkout)
    (checkout / left).parent.mkdir(parents=True)
    (checkout / left).write_text("x")
    assert build_context.key("base:1", checkout) == before


def test_a_missing_input_is_named(checkout: Path) -> None:
    (checkout / "requirements/worker.txt").unlink()
    with pytest.raises(ClusterError, match=r"requirements/worker\.txt is missing"):
        build_context.key("base:1", checkout)


def test_a_docker_archive_holds_a_shared_layer_once_and_names_every_image() -> None:
    layer = archives.busybox_layer(b"\x7fELF")
    packed = archives.docker_archive(layer, {"a:1": ["/bin/sh"], "b:1": ["/bin/busybox", "sleep", "9"]}, "arm64")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        content = {entry.name: tar.extractfile(entry) for entry in tar}
        manifest = json.loads(content["manifest.json"].read())  # type: ignore[union-attr]
        configs = [json.loads(content[entry["Config"]].read()) for entry in manifest]  # type: ignore[union-attr]
    assert [entry["RepoTags"] for entry in manifest] == [["a:1"], ["b:1"]]
    assert len([name for name in content if name.endswith("layer.tar")]) == 1
    assert [config["config"]["Entrypoint"][0] for config in configs] == ["/bin/sh", "/bin/busybox"]
    assert {config["architecture"] for config in configs} == {"arm64"}
