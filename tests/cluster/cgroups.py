"""The cgroup below which the real node's pods live, so that two kubelets on one machine do not meet."""

import contextlib
import os
import time
from pathlib import Path

_POLL_SECONDS = 0.1
_V2_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")


def hierarchies(mountinfo: str) -> list[tuple[Path, str]]:
    """(mount point, file system type) of every cgroup hierarchy in the text of /proc/self/mountinfo."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind = after.split(" ", 1)[0]
        if kind in ("cgroup", "cgroup2"):
            found.append((Path(before.split(" ")[4]), kind))
    return found


def is_v2(mountinfo: str) -> bool:
    """True where cgroup v2 alone is mounted (not the hybrid of both)."""
    return all(kind == "cgroup2" for _, kind in hierarchies(mountinfo))


def create(name: str) -> None:
    """Makes the cgroup in every hierarchy: the kubelet refuses a cgroupRoot that lacks one."""
    text = Path("/proc/self/mountinfo").read_text()
    for mount, kind in hierarchies(text):
        if kind == "cgroup2":
            if not is_v2(text):
                continue  # hybrid: the controllers are in the v1 hierarchies
            for controller in _V2_CONTROLLERS:
                _enable(mount / "cgroup.subtree_control", controller)
        (mount / name).mkdir(exist_ok=True)


def _enable(control: Path, controller: str) -> None:
    # OSError: not in this kernel, or not ours to give; the kubelet names it if it is one that it needs
    with contextlib.suppress(OSError):
        control.write_text(f"+{controller}")


def remove(name: str, seconds: float = 10.0) -> list[Path]:
    """Removes the cgroup and all below it, waiting for dying processes to leave; returns what stayed."""
    tops = [mount / name for mount, _ in hierarchies(Path("/proc/self/mountinfo").read_text())]
    deadline = time.monotonic() + seconds
    while True:
        left = [top for top in tops if top.is_dir() and not _remove_tree(top)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(_POLL_SECONDS)


def _remove_tree(top: Path) -> bool:
    for directory, _, _ in os.walk(top, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:
            return False
    return True
