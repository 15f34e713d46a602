"""Only a process that we started is ever ended: same pid *and* same start time."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import processes
from tests.cluster.errors import ClusterError

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield started
        started.kill()


def record(pid: int) -> processes.Process:
    found = processes.adopt("child", pid, Path("/dev/null"))
    assert found is not None
    return found


def test_a_recycled_pid_is_left_alone(child: "subprocess.Popen[bytes]") -> None:
    former = dataclasses.replace(record(child.pid), started="another-boot/1")
    assert not processes.alive(former)
    assert processes.kill([former]) == []
    assert processes.stop([former], 0.1) == []
    assert child.poll() is None


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(child: "subprocess.Popen[bytes]") -> None:
    assert processes.stop([record(child.pid)], 0.1) == []
    assert not processes.alive(record_or_none(child.pid) or processes.Process("x", child.pid, "gone", ""))


def record_or_none(pid: int) -> processes.Process | None:
    return processes.adopt("child", pid, Path("/dev/null"))


def test_a_zombie_counts_as_ended(child: "subprocess.Popen[bytes]") -> None:
    known = record(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, not yet reaped
    assert not processes.alive(known)


def test_a_start_is_recorded_and_logged(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "sleep.log"
    started = processes.start("sleep", [sys.executable, "-c", STUBBORN], log)
    assert processes.alive(started)
    assert processes.kill([started]) == []
    assert log.exists()


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no-such-program is not there"):
        processes.start("thing", ["no-such-program"], tmp_path / "log")
