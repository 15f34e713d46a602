"""Container images made from nothing but a static busybox: the pods' sandbox, and a shell for hand-made pods."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping

BUSYBOX_IMAGE = "localhost/batch-operator/busybox:1"
# no network applets: a static glibc cannot resolve names, and busybox crashes on the attempt
_APPLETS = (
    "sh",
    "cat",
    "echo",
    "env",
    "false",
    "head",
    "id",
    "ls",
    "mkdir",
    "printenv",
    "rm",
    "sleep",
    "stat",
    "touch",
    "true",
)


def busybox_layer(busybox: bytes) -> bytes:
    """A root file system: /bin/busybox, links for its applets and an open /tmp."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        program = tarfile.TarInfo("bin/busybox")
        program.size, program.mode = len(busybox), 0o755
        tar.addfile(program, io.BytesIO(busybox))
        for applet in _APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return out.getvalue()


def docker_archive(layer: bytes, images: Mapping[str, list[str]], architecture: str) -> bytes:
    """A `docker save` archive of images that share one layer; `images` maps each name to its entrypoint.

    The same input gives the same bytes. Architecture in Go's words (amd64, arm64).
    """
    digest = hashlib.sha256(layer).hexdigest()
    files = {f"{digest}/layer.tar": layer}
    manifest = []
    for name, entrypoint in images.items():
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": entrypoint, "Env": ["PATH=/bin"], "User": "65532:65532"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [],
        }
        text = json.dumps(config, sort_keys=True).encode()
        path = f"{hashlib.sha256(text).hexdigest()}.json"
        files[path] = text
        manifest.append({"Config": path, "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]})
    files["manifest.json"] = json.dumps(manifest).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()
