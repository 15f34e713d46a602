"""Process 1 of the real node's sandbox: new pid, mount and network namespaces, made by `unshare` (node.py).

Everything of the node runs below it, so ending this one process ends containerd, the kubelet, kube-proxy, every
container, every mount and the network with it, whatever state they are in. Runs with a plain python3.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path


def main(specification: str) -> None:
    """Sets up mounts and loopback from the JSON file {"binds": {source: target}, "ready": path}, then reaps."""
    spec = json.loads(Path(specification).read_text())
    _run("mount", "--make-rshared", "/")  # the kubelet's mounts reach containerd; nothing reaches the host
    _run("mount", "-t", "proc", "proc", "/proc")
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    for source, target in spec["binds"].items():
        Path(target).mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", source, target)
    _run("ip", "link", "set", "lo", "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # of this network namespace only
    Path(spec["ready"]).write_text("ready")
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    while True:
        signal.sigwait([signal.SIGCHLD])
        _reap()


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    main(sys.argv[1])
