"""Runs one worker over the inputs of this pod: the main line of every worker process. Called by `cli`.

Order of an input: committed already? -> open -> parts -> commit record -> state -> report. Only this module knows
exit codes.
"""

import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Protocol

from batch_worker import log, parts
from batch_worker.errors import (
    EXIT_BAD_CONFIG,
    EXIT_DONE,
    EXIT_STOPPED,
    EndedByConfig,
    InputError,
    InvalidConfig,
    Stopped,
)
from batch_worker.job import Environment, Input, Job, load
from batch_worker.parts import Parts
from batch_worker.report import State
from batch_worker.reporter import Endpoint, Reporter
from batch_worker.storage import Store, open_store, safe_path


class Stop:
    """Whether the pod was asked to stop. Workers call `check` often: at least once a second of work."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask for the stop; also the signal handler's work, so it only sets a flag."""
        self._event.set()

    def check(self) -> None:
        """Raises Stopped once SIGTERM came."""
        if self._event.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Sleep, but raise Stopped as soon as SIGTERM comes."""
        self._event.wait(max(0.0, seconds))
        self.check()


class Worker(Protocol):
    """What a worker implements; see workers/line_count.py for the smallest one."""

    def prepare(self, job: Job, inputs: Store, stop: Stop) -> None:
        """Check the config, read the references. Raises InvalidConfig."""

    def maker(self) -> dict[str, Any]:
        """All that the result's bytes depend on besides the input (JSON values); goes into every commit record."""

    def notice(self) -> str:
        """One sentence for people, or ""."""

    def process(self, source: Input, path: str, results: Parts) -> None:
        """Write all parts of one input. Raises InputError; calls stop.check()."""


def main(make: Callable[[], Worker], env: Mapping[str, str]) -> int:
    """The whole life of the process; returns its exit code. `make` is called once the signal handlers stand."""
    stop = Stop()
    with _signals(stop):
        try:
            environment = Environment.read(env)
        except InvalidConfig as error:
            log.error("bad environment", reason=error.message, suggestion=error.suggestion)
            return EXIT_BAD_CONFIG
        state = State(environment.inputs)
        endpoint = (
            Endpoint(environment.progress_url, environment.token_file, environment.ca_file)
            if environment.progress_url
            else None
        )
        reporter = Reporter(state, endpoint, environment.termination_log)
        reporter.start()
        try:
            code = run(make(), environment, state, stop, reporter)
        finally:
            reporter.close()
        log.info("worker ends", exit_code=code, **state.counts())
        return code


def run(worker: Worker, environment: Environment, state: State, stop: Stop, reporter: Reporter) -> int:
    """Load, prepare, process; the exit code for each way in which that ends. Other exceptions are bugs or a
    broken store: exit 1.
    """
    try:
        job = load(environment)
        log.info(
            "worker starts",
            job=job.id,
            component=job.component,
            index=environment.index,
            attempt=environment.attempt,
            inputs=len(job.inputs),
        )
        inputs, outputs = open_store(job.inputs_url), open_store(environment.output_url, create=True)
        worker.prepare(job, inputs, stop)
        if notice := worker.notice():
            log.info(notice)
            state.notice(notice)
        for source in job.inputs:
            stop.check()
            _process(worker, source, job.output_port, inputs, outputs, state)
            reporter.nudge()
        return EXIT_DONE
    except InvalidConfig as error:
        log.error(
            "the job cannot run as it is written", code=error.code, reason=error.message, suggestion=error.suggestion
        )
        state.error(error.code, error.message, error.suggestion)
        return EXIT_BAD_CONFIG
    except Stopped:
        state.release()
        log.info("asked to stop: what is written is kept, the rest is for the next attempt")
        return EXIT_STOPPED
    except EndedByConfig as ended:
        log.warning(str(ended))
        return ended.exit_code
    except Exception as error:  # noqa: BLE001 - the last line of defence: say what happened, let the pod be replaced
        reason = f"{type(error).__name__}: {error}"
        log.error("unexpected failure", reason=reason, traceback=traceback.format_exc())
        state.notice(reason)  # status.error quotes it, so that nobody has to look for the log first
        return 1


def _process(worker: Worker, source: Input, output_port: str, inputs: Store, outputs: Store, state: State) -> None:
    earlier = parts.committed(outputs, output_port, source.number)
    if earlier is not None:
        log.info("input was committed by an earlier attempt", input=source.number, file_id=source.file_id)
        state.complete(source.number, earlier.done, earlier.failed)
        return
    started = time.monotonic()
    state.start(source.number)
    try:
        path = safe_path(source.file_id)
        version = inputs.version(path)
        if version is None:
            raise InputError(f"the file {source.file_id} is not in the store")
        results = Parts(outputs, output_port, source, version, worker.maker(), state)
        worker.process(source, path, results)
        if inputs.version(path) != version:
            raise InputError(f"the file {source.file_id} was changed while it was read")
        won = results.commit()
    except (InputError, PermissionError) as error:
        log.warning("input failed", input=source.number, file_id=source.file_id, reason=str(error))
        state.fail(source.number, str(error))
        return
    log.info(
        "input completed" if won else "input was committed by another worker meanwhile",
        input=source.number,
        file_id=source.file_id,
        parts=results.next_number,
        items=results.items.done,
        items_failed=results.items.failed,
        seconds=round(time.monotonic() - started, 3),
    )
    state.complete(source.number, results.items.done, results.items.failed)


class _signals:
    """SIGTERM and SIGINT set the flag while the block runs; outside the main thread nothing is installed (tests)."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._before: list[tuple[signal.Signals, Any]] = []

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for name in (signal.SIGTERM, signal.SIGINT):
            self._before.append((name, signal.signal(name, self._handle)))

    def __exit__(self, *_: object) -> None:
        for name, handler in self._before:
            signal.signal(name, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()
