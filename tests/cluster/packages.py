"""Debian packages that the real node and the image builds need; says what it installs before it does."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.progress import say, step

# a program's name or a file's path -> the Debian package that brings it
NODE: Mapping[str, str] = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "nft": "nftables",
    "conntrack": "conntrack",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "mount": "mount",
    "nsenter": "util-linux",
}
SPARE_NODE: Mapping[str, str] = {"dbus-daemon": "dbus-daemon"}
IMAGES: Mapping[str, str] = {
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}


def missing(needed: Mapping[str, str]) -> list[str]:
    """Packages whose file or program is not there, sorted."""
    return sorted({package for what, package in needed.items() if not _there(what)})


def _there(what: str) -> bool:
    found = what if Path(what).exists() else shutil.which(what)
    # Debian's other busybox is linked dynamically, and in a container of its own it would find no library.
    return found is not None and (what != "busybox" or is_static(Path(found).read_bytes()))


def is_static(elf: bytes) -> bool:
    """Whether a 64-bit ELF program needs no dynamic loader: it has no program header of type PT_INTERP (3)."""
    offset = int.from_bytes(elf[32:40], "little")
    size, count = (int.from_bytes(elf[at : at + 2], "little") for at in (54, 56))
    types = [int.from_bytes(elf[offset + i * size : offset + i * size + 4], "little") for i in range(count)]
    return elf.startswith(b"\x7fELF") and 3 not in types


def installable() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def ensure(needed: Mapping[str, str], purpose: str) -> None:
    """Installs what is missing by apt-get; raises ClusterError, naming the packages, where that cannot be."""
    packages = missing(needed)
    if not packages:
        return
    if not installable():
        raise ClusterError(f"{purpose} needs packages that are not installed: apt-get install {' '.join(packages)}")
    say(f"{purpose} needs these Debian packages, which apt-get installs now: {' '.join(packages)}")
    if _apt_get(["install", "--simulate", *packages]).returncode:
        with step("apt-get update"):
            _apt_get(["update"])
    with step(f"apt-get install {' '.join(packages)}"):
        result = _apt_get(["install", "--yes", "--no-install-recommends", *packages])
    left = missing(needed)
    if result.returncode or left:
        raise ClusterError(f"apt-get could not install {' '.join(left or packages)}: {result.stderr.strip()[-600:]}")


def _apt_get(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
