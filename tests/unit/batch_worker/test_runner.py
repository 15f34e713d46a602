import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from batch_worker.errors import EndedByConfig, InputError, InvalidConfig
from batch_worker.job import Input, Job
from batch_worker.parts import Items, Parts
from batch_worker.runner import Stop
from batch_worker.storage import Store
from batch_worker.workers.line_count import LineCount
from tests.unit.batch_worker.builders import JobBuilder, Killed, killed_at, run_with


class Scripted:
    """A worker that writes two parts an input, and raises `at_prepare` or, for an input of that name, `at_input`."""

    def __init__(self, at_prepare: BaseException | None = None, **at_input: BaseException) -> None:
        self.at_prepare, self.at_input = at_prepare, at_input
        self.processed: list[str] = []

    def prepare(self, job: Job, inputs: Store, stop: Stop) -> None:
        self.stop = stop
        if self.at_prepare:
            raise self.at_prepare

    def maker(self) -> dict[str, Any]:
        return {"worker": "scripted"}

    def notice(self) -> str:
        return "scripted it is"

    def process(self, source: Input, path: str, results: Parts) -> None:
        self.stop.check()
        self.processed.append(source.file_id)
        for number in range(2):
            if not results.skip_complete():
                results.write(f"{source.file_id} {number}\n".encode(), Items(1))
        if error := self.at_input.get(source.file_id):
            raise error


@pytest.fixture
def job(tmp_path: Path) -> JobBuilder:
    made = JobBuilder(tmp_path, inputs=["a", "b", "c"])
    for name in made.inputs:
        (made.files / name).write_text(name)
    return made


def test_every_input_is_committed_and_reported(job: JobBuilder) -> None:
    assert job.run(Scripted) == 0
    assert job.last_report() == {
        "completed": "0-2",
        "processing": "",
        "failed": "",
        "reasons": {},
        "items": {"done": 6, "total": 6, "failed": 0},
        "notice": "scripted it is",
    }
    assert len(job.committed()) == 9


def test_a_bad_input_is_failed_with_its_reason_and_the_others_go_on(job: JobBuilder) -> None:
    (job.files / "c").unlink()
    assert job.run(lambda: Scripted(a=InputError("column x is text"), b=PermissionError("not yours"))) == 0
    report = job.last_report()
    assert report["failed"] == "0-2"
    assert report["reasons"] == {"0": "column x is text", "1": "not yours", "2": "the file c is not in the store"}
    assert job.committed() == {}


def test_bad_config_is_exit_64_with_the_error_in_the_report(job: JobBuilder) -> None:
    assert job.run(lambda: Scripted(InvalidConfig("spec.x: is wrong", "make it right"))) == 64
    assert job.last_report()["error"] == {
        "code": "INVALID_REQUEST",
        "message": "spec.x: is wrong",
        "suggestion": "make it right",
    }


def test_a_tampered_job_file_is_exit_64(job: JobBuilder) -> None:
    assert job.run(Scripted, BATCH_JOB_SHA256="0" * 64) == 64
    assert job.last_report()["error"]["code"] == "TAMPERED"


def test_a_bad_environment_is_exit_64(job: JobBuilder) -> None:
    assert job.run(Scripted, BATCH_INPUTS="x") == 64


def test_a_bug_is_exit_1_and_what_was_done_is_reported(job: JobBuilder) -> None:
    assert job.run(lambda: Scripted(b=ZeroDivisionError("oops"))) == 1
    assert job.last_report()["completed"] == "0"
    assert job.last_report()["notice"] == "ZeroDivisionError: oops"


def test_a_worker_may_end_with_a_code_of_its_own(job: JobBuilder) -> None:
    assert job.run(lambda: Scripted(b=EndedByConfig(42))) == 42


def test_a_committed_input_is_not_worked_on_again(job: JobBuilder) -> None:
    assert job.run(Scripted, block="1") == 0
    worker = Scripted()
    assert job.run(lambda: worker) == 0
    assert worker.processed == ["a", "c"]
    assert job.last_report()["completed"] == "0-2"
    assert job.last_report()["items"]["done"] == 6


def test_a_file_that_changes_while_it_is_read_is_failed(job: JobBuilder) -> None:
    class Meddling(Scripted):
        def process(self, source: Input, path: str, results: Parts) -> None:
            super().process(source, path, results)
            (job.files / path).write_text("something else")

    assert job.run(Meddling, block="0") == 0
    assert "changed while it was read" in job.last_report()["reasons"]["0"]


def test_a_stop_keeps_what_is_done_and_is_exit_75(job: JobBuilder) -> None:
    stop = Stop()

    class Stopping(Scripted):
        def process(self, source: Input, path: str, results: Parts) -> None:
            super().process(source, path, results)
            if source.file_id == "a":
                stop.set()

    code, state = run_with(Stopping(), job.environment(), stop)
    assert code == 75
    assert state.body()["completed"] == "0"
    assert state.body()["processing"] == ""


def test_a_stop_after_the_last_input_is_still_success(job: JobBuilder) -> None:
    stop = Stop()

    class Late(Scripted):
        def process(self, source: Input, path: str, results: Parts) -> None:
            super().process(source, path, results)
            if source.file_id == "c":
                stop.set()

    assert run_with(Late(), job.environment(), stop)[0] == 0


WRITES = 3 * 5  # inputs times (two parts, two records, one commit record)


@pytest.mark.parametrize("after", [False, True], ids=["before-the-write", "after-the-write"])
@pytest.mark.parametrize("at", range(1, WRITES + 1))
def test_killed_at_any_write_the_next_attempt_gives_the_same_bytes(
    job: JobBuilder, tmp_path: Path, at: int, after: bool
) -> None:
    undisturbed = JobBuilder(tmp_path / "undisturbed", inputs=job.inputs, inputs_url=f"file://{job.files}")
    undisturbed.root.mkdir()
    assert undisturbed.run(Scripted) == 0

    with killed_at(at, after=after), pytest.raises(Killed):
        run_with(Scripted(), job.environment())

    code, state = run_with(Scripted(), job.environment(BATCH_ATTEMPT="1"))
    assert code == 0
    assert job.committed() == undisturbed.committed()
    assert state.body()["completed"] == "0-2"
    assert state.body()["items"] == {"done": 6, "total": 6, "failed": 0}


def test_the_fault_injection_reaches_every_write(job: JobBuilder) -> None:
    with killed_at(WRITES + 1, after=True):
        assert run_with(Scripted(), job.environment())[0] == 0


def test_two_workers_of_one_index_at_once_leave_one_result(job: JobBuilder, tmp_path: Path) -> None:
    undisturbed = JobBuilder(tmp_path / "undisturbed", inputs=job.inputs, inputs_url=f"file://{job.files}")
    undisturbed.root.mkdir()
    assert undisturbed.run(Scripted) == 0
    together = threading.Barrier(2, timeout=30)

    class Racing(Scripted):
        def process(self, source: Input, path: str, results: Parts) -> None:
            together.wait()
            super().process(source, path, results)
            together.wait()

    codes: list[int] = []
    env = job.environment()
    threads = [threading.Thread(target=lambda: codes.append(run_with(Racing(), env)[0])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0]
    assert job.committed() == undisturbed.committed()


def test_sigterm_ends_the_real_process_with_75(job: JobBuilder) -> None:
    job.config = {"seconds_per_input": 600}
    process = subprocess.Popen(
        [sys.executable, "-m", "batch_worker", "line-count"],
        stdout=subprocess.PIPE,
        text=True,
        env={**job.environment(), "PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["message"] == "worker starts"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 75
    finally:
        process.kill()
        process.communicate()
    assert job.last_report()["processing"] == ""


def test_line_count_is_the_worker_of_that_name(job: JobBuilder) -> None:
    assert job.run(LineCount) == 0
