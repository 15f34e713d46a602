"""What builds images here: buildah without any daemon, or Docker/Podman; both from the same operator/Dockerfile."""

import json
import os
import platform
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from tests.cluster import packages
from tests.cluster.errors import ClusterError
from tests.cluster.layout import cache_home
from tests.cluster.progress import step

_SUITE = "bookworm"
_VARIANT = "essential"  # no apt: nothing is installed later
_INCLUDE = ("python3-minimal", "python3-venv", "ca-certificates", "libstdc++6")  # the last for numpy and pyarrow
_EXCLUDE = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
_PLATFORM_GLIBCS = ("2_17", "2_24", "2_26", "2_27", "2_28", "2_31", "2_34")
# buildah's storage driver leaves a bind mount behind, and an interrupted mmdebstrap its /proc and /sys.
_OWN_MOUNTS = ("unshare", "--mount", "--propagation=private")
_LAYERS_KEPT = 40  # a change of the code adds one
_ZSTD = ("--compression-format=zstd", "--compression-level=1")  # gzip, the default, takes four times as long


class Builder(Protocol):
    """One of the two ways to an image."""

    @property
    def python(self) -> str:
        """The base image's Python, for which the wheels are fetched, as "3.11"."""

    def base(self) -> str:
        """The image that the Dockerfile's ARG BASE names."""

    def build(self, context: Path, target: str, tag: str) -> None:
        """Builds one target of `context`/operator/Dockerfile."""

    def save(self, tags: Sequence[str], archive: Path) -> None:
        """Writes the images into one docker or OCI archive, layers that they share once."""

    def remove(self, tag: str) -> None:
        """Removes an image that is no longer needed; one that is not there is fine."""


def wheel_platforms() -> list[str]:
    """pip's platform tags for wheels that run on Debian 12 of this machine's architecture."""
    machine = "aarch64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    return [f"manylinux_{glibc}_{machine}" for glibc in _PLATFORM_GLIBCS] + [f"manylinux2014_{machine}"]


@dataclass(frozen=True)
class Buildah:
    """Root, no daemon, no registry: its base image comes from Debian packages."""

    python: str = "3.11"  # Debian 12's

    def base(self) -> str:
        recipe = sha256(repr((_SUITE, _VARIANT, _INCLUDE, _EXCLUDE)).encode()).hexdigest()[:12]
        tag = f"localhost/batch-operator/base:{_SUITE}-{recipe}"
        if self._has(tag):
            return tag
        with tempfile.TemporaryDirectory(prefix="batch-base-") as scratch:
            tar = Path(scratch) / "rootfs.tar"
            with step(f"making the base image from Debian packages ({_SUITE}: {', '.join(_INCLUDE)})"):
                options = [f"--dpkgopt=path-exclude={path}" for path in _EXCLUDE]
                include = f"--include={','.join(_INCLUDE)}"
                argv = ["mmdebstrap", f"--variant={_VARIANT}", *options, include, _SUITE, str(tar)]
                _run([*_OWN_MOUNTS, *argv], "mmdebstrap")
            with step("packing the base image"):
                container = self._buildah("from", "scratch").strip()
                try:
                    self._buildah("add", "--quiet", container, str(tar), "/")
                    self._buildah("commit", "--quiet", container, tag)
                finally:
                    self._buildah("rm", container)
        return tag

    def build(self, context: Path, target: str, tag: str) -> None:
        self._buildah(
            *("bud", "--isolation", "chroot", "--layers", "--pull-never", "--build-arg", f"BASE={self.base()}"),
            *("--target", target, "--tag", tag, "--file", str(context / "operator/Dockerfile"), str(context)),
        )

    def save(self, tags: Sequence[str], archive: Path) -> None:
        # An OCI layout, not a docker archive: it holds a shared layer once.
        with tempfile.TemporaryDirectory(prefix="batch-oci-", dir=archive.parent) as layout:
            for tag in tags:
                self._buildah("push", "--quiet", *_ZSTD, tag, f"oci:{layout}:{tag}")
            index = Path(layout) / "index.json"
            content = json.loads(index.read_text())
            for manifest in content["manifests"]:  # by which containerd names an imported image
                name = manifest["annotations"]["org.opencontainers.image.ref.name"]
                manifest["annotations"]["io.containerd.image.name"] = name
            index.write_text(json.dumps(content))
            with tarfile.open(archive, "w") as tar:
                tar.add(layout, arcname=".")

    def remove(self, tag: str) -> None:
        if self._has(tag):
            self._buildah("rmi", tag)
        # What is left of it are the layers that make the next build quick; at some point they only fill the disk.
        layers = self._buildah("images", "--quiet", "--all", "--filter", "dangling=true").split()
        if len(layers) > _LAYERS_KEPT:
            self._buildah("rmi", "--prune", "--force")

    def _has(self, tag: str) -> bool:
        name, _, version = tag.rpartition(":")
        there = self._buildah("images", "--all", "--format", "{{.Tag}}", "--filter", f"reference={name}")
        return version in there.split()

    def _buildah(self, *arguments: str) -> str:
        packages.ensure({**packages.NODE, **packages.IMAGES}, "building images")
        home = cache_home() / "containers"
        home.mkdir(parents=True, exist_ok=True)
        argv = [*_OWN_MOUNTS, "buildah", "--root", str(home / "storage")]
        return _run([*argv, "--runroot", str(home / "run"), *arguments], f"buildah {arguments[0]}")


@dataclass(frozen=True)
class Engine:
    """Docker or Podman, whichever `program` names."""

    program: str
    python: str = "3.12"

    def base(self) -> str:
        return f"python:{self.python}-slim"

    def build(self, context: Path, target: str, tag: str) -> None:
        arguments = ["build", "--build-arg", f"BASE={self.base()}", "--target", target, "--tag", tag]
        _run([self.program, *arguments, "--file", str(context / "operator/Dockerfile"), str(context)], "build")

    def save(self, tags: Sequence[str], archive: Path) -> None:
        archive.unlink(missing_ok=True)  # podman does not write over one
        several = ["--multi-image-archive"] if self.program == "podman" else []
        _run([self.program, "save", *several, "--output", str(archive), *tags], "save")

    def remove(self, tag: str) -> None:
        subprocess.run([self.program, "rmi", tag], capture_output=True, check=False)


def _run(argv: Sequence[str], what: str) -> str:
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    try:
        result = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ClusterError(f"{what} needs the program {argv[0]}: install it") from None
    if result.returncode:
        raise ClusterError(f"{what} failed:\n{(result.stdout + result.stderr).strip()[-3000:]}")
    return result.stdout
