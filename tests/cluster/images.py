"""`cluster-images`: the operator's and the worker's image, built when their inputs changed, loaded into the node."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import build_context, kind, node
from tests.cluster.builders import Buildah, Builder, Engine
from tests.cluster.layout import CHECKOUT, cache_home, checkout_id
from tests.cluster.progress import say, step
from tests.cluster.state import State, exclusive


@dataclass(frozen=True)
class _Built:
    names: dict[str, str]  # target -> image
    archive: Path  # with all of them


def ensure(state: State) -> dict[str, str]:
    """Target -> image name, for images that the cluster's real node has now; recorded for `connection.load`.

    Raises ClusterError with the builder's words.
    """
    builder: Builder = Engine(state.get("engine")) if state.get("kind") == kind.KIND else Buildah()
    with exclusive("images", cache_home()):
        built = _built(builder)
        _load(state, built)
    state.set(images=built.names)
    return built.names


def _built(builder: Builder) -> _Built:
    key = build_context.key(builder.base())
    directory = cache_home() / "images"
    directory.mkdir(parents=True, exist_ok=True)
    names = {target: f"localhost/batch-operator/{target}:{key}" for target in build_context.TARGETS}
    built = _Built(names, directory / f"{key}.tar")
    if built.archive.exists():
        say(f"the images {key} are built already")
    else:
        _build(builder, built)
    _drop_previous(builder, built)
    return built


def _build(builder: Builder, built: _Built) -> None:
    with tempfile.TemporaryDirectory(prefix="batch-images-") as scratch:
        context = Path(scratch) / "context"
        build_context.write(context, builder.python)
        for target, name in built.names.items():
            with step(f"building the {target}'s image {name}"):
                builder.build(context, target, name)
    part = built.archive.with_suffix(".part")
    part.unlink(missing_ok=True)
    with step("saving both images"):
        builder.save(list(built.names.values()), part)
    part.rename(built.archive)


def _drop_previous(builder: Builder, built: _Built) -> None:
    """Removes the images that this checkout built before: each pair takes some 500 MB."""
    record = cache_home() / "images" / f"{checkout_id(CHECKOUT)}.json"
    before = json.loads(record.read_text()) if record.exists() else {}
    if before.get("archive") not in (None, str(built.archive)):
        for name in before["names"]:
            builder.remove(name)
        Path(before["archive"]).unlink(missing_ok=True)
    record.write_text(json.dumps({"names": list(built.names.values()), "archive": str(built.archive)}))


def _load(state: State, built: _Built) -> None:
    if state.get("kind") == kind.KIND:
        if state.get("loaded") != str(built.archive):
            with step("loading the images into the kind node"):
                kind.load_images(state, built.archive)
            state.set(loaded=str(built.archive))
        return
    sandbox = node.sandbox_of(state)
    if not node.image_names(sandbox).issuperset(built.names.values()):
        with step("loading the images into the real node"):
            node.import_images(sandbox, built.archive)
