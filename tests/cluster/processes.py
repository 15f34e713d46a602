"""Processes that we started: started detached, known by pid *and* start time, ended only if both still match.

A pid is reused after its process is gone, at the latest after a reboot; the start time tells the two apart.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.errors import ClusterError

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Process:
    """`started` is opaque: boot id and start time in clock ticks on Linux, `ps` text elsewhere."""

    name: str
    pid: int
    started: str
    log: str
    address: str = ""


def start_mark(pid: int) -> str | None:
    """What tells this process from a later one of the same pid; None: there is none, or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _start_mark_by_ps(pid)
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name before it may hold blanks and brackets
    return None if fields[0] in (b"Z", b"X") else f"{boot}/{fields[19].decode()}"


def _start_mark_by_ps(pid: int) -> str | None:
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def alive(process: Process) -> bool:
    return start_mark(process.pid) == process.started


def adopt(name: str, pid: int, log: Path, address: str = "") -> Process | None:
    """A record of a process that a tool started for us (kwokctl); None if it is gone already."""
    mark = start_mark(pid)
    return Process(name, pid, mark, str(log), address) if mark else None


def start(name: str, argv: Sequence[str], log: Path, env: dict[str, str] | None = None, address: str = "") -> Process:
    """Starts `argv` in a session of its own, stdout and stderr appended to `log`.

    Raises ClusterError if the program is missing or ends before it could be recorded.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        try:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=env
            )
        except FileNotFoundError:
            raise ClusterError(f"{name}: the program {argv[0]} is not there") from None
    child.returncode = 0  # it outlives us: keeps Popen from warning that nobody waited
    process = adopt(name, child.pid, log, address)
    if process is None:
        raise ClusterError(f"{name} ended at once: {last_lines(log)}")
    return process


def wait(process: Process) -> int:
    """Waits for a child of this process; its exit code, or the negative number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])


def stop(processes: Iterable[Process], grace_seconds: float) -> list[Process]:
    """SIGTERM to all that are still the ones we started, SIGKILL after the grace; returns those that stayed."""
    left = [p for p in processes if send(p, signal.SIGTERM)]
    left = _wait_gone(left, grace_seconds)
    for process in left:
        send(process, signal.SIGKILL)
    return _wait_gone(left, 10.0)


def kill(processes: Iterable[Process]) -> list[Process]:
    """SIGKILL at once, for what leaves no state that anybody wants; returns those that stayed."""
    return _wait_gone([p for p in processes if send(p, signal.SIGKILL)], 10.0)


def send(process: Process, number: signal.Signals) -> bool:
    """One signal, if it is still the process that we started: whether it was."""
    if not hasattr(os, "pidfd_open"):
        if alive(process):
            os.kill(process.pid, number)
        return alive(process)
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not alive(process):  # checked with the handle open: the pid cannot change hands from here on
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        return True
    finally:
        os.close(handle)


def _wait_gone(processes: list[Process], seconds: float) -> list[Process]:
    deadline = time.monotonic() + seconds
    while processes:
        processes = [p for p in processes if alive(p)]
        if not processes or time.monotonic() > deadline:
            break
        for process in processes:  # our own children stay zombies until waited for
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)
        time.sleep(_POLL_SECONDS)
    return processes


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log for an error message, with its path."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()[-count:]
    except OSError:
        lines = []
    return f"see {log}" + (":\n    " + "\n    ".join(lines) if lines else " (empty)")
