"""Builders for the worker's tests: a job file with its environment, sensor files, a store that breaks on purpose."""

import gzip
import hashlib
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from batch_worker import runner
from batch_worker.job import Environment
from batch_worker.report import State
from batch_worker.reporter import Reporter
from batch_worker.runner import Stop, Worker
from batch_worker.storage import Store, open_store

COLUMNS = ("flow", "pressure")


@dataclass
class JobBuilder:
    """A job under `root`: files/ holds the inputs, out/ the results, termination-log the last report."""

    root: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    references: Sequence[tuple[str, str | None]] = ()
    inputs_url: str = ""

    def body(self) -> dict[str, Any]:
        """The content of job.json."""
        return {
            "id": "job_test",
            "name": "test",
            "namespace": "default",
            "pipeline_key": "k",
            "pipeline_version": "1.0.0",
            "pipeline_type": "batch",
            "parameters": {"worker": {"parallelism": 1, "config": dict(self.config)}},
            "components": {"worker": {}},
            "input_ports": [{"name": "worker.inference", "distribute": "scatter", "tracked": True}],
            "output_ports": [{"name": "worker.results"}],
            "inputs_url": self.inputs_url or f"file://{self.files}",
            "inputs": [{"port": "worker.inference", "file_id": name} for name in self.inputs],
            "references": {
                "worker.n_shots": [
                    {"file_id": name, **({"metadata": {"class": label}} if label is not None else {})}
                    for name, label in self.references
                ]
            },
        }

    @property
    def files(self) -> Path:
        """The folder of the inputs."""
        folder = self.root / "files"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def results(self) -> Path:
        """The folder of the output port."""
        return self.root / "out" / "worker.results"

    def environment(self, block: str | None = None, **changes: str) -> dict[str, str]:
        """The pod's variables; `block` is BATCH_INPUTS, by default all inputs."""
        content = json.dumps(self.body(), sort_keys=True, separators=(",", ":")).encode()
        (self.root / "job.json.gz").write_bytes(gzip.compress(content))
        (self.root / "termination-log").touch()
        everything = f"0-{len(self.inputs) - 1}" if len(self.inputs) > 1 else "0" if self.inputs else ""
        return {
            "BATCH_JOB_FILE": str(self.root / "job.json.gz"),
            "BATCH_JOB_SHA256": hashlib.sha256(content).hexdigest(),
            "BATCH_COMPONENT": "worker",
            "BATCH_INDEX": "0",
            "BATCH_PARALLELISM": "1",
            "BATCH_ATTEMPT": "0",
            "BATCH_INPUTS": everything if block is None else block,
            "BATCH_OUTPUT_URL": f"file://{self.root}/out",
            "BATCH_TERMINATION_LOG": str(self.root / "termination-log"),
            **changes,
        }

    def run(self, make: Callable[[], Worker], block: str | None = None, **changes: str) -> int:
        """Run the worker to its end; its exit code."""
        return runner.main(make, self.environment(block, **changes))

    def last_report(self) -> dict[str, Any]:
        """The termination message."""
        report: dict[str, Any] = json.loads((self.root / "termination-log").read_bytes())
        return report

    def committed(self) -> dict[str, bytes]:
        """All that a reader may look at: commit records and the parts that they list, by path."""
        found: dict[str, bytes] = {}
        for record in sorted(self.results.glob("*/commit.json")):
            found[str(record.relative_to(self.results))] = record.read_bytes()
            for part in json.loads(record.read_bytes())["parts"]:
                path = record.parent / part["name"]
                assert hashlib.sha256(path.read_bytes()).hexdigest() == part["sha256"]
                found[str(path.relative_to(self.results))] = path.read_bytes()
        return found


def run_with(worker: Worker, environment: Mapping[str, str], stop: Stop | None = None) -> tuple[int, State]:
    """runner.run without signals and threads: the exit code and the final state."""
    read = Environment.read(environment)
    state = State(read.inputs)
    return runner.run(worker, read, state, stop or Stop(), Reporter(state, None, read.termination_log)), state


def sensor_csv(
    path: Path, rows: int, *, level: float = 0.0, swing: float = 1.0, seed: int = 0, columns: Sequence[str] = COLUMNS
) -> Path:
    """A CSV file of `rows` rows: timestamp and columns around `level`, moving by `swing`."""
    source = random.Random(seed)
    lines = [",".join(("timestamp", *columns))]
    for row in range(rows):
        values = [level + swing * math.sin(row / 3 + place) + source.gauss(0, 0.1) for place in range(len(columns))]
        lines.append(",".join([str(1000 + row), *(f"{value:.5f}" for value in values)]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def two_state_job(root: Path, inputs: int = 3, rows: int = 60, **config: Any) -> JobBuilder:
    """A job whose states, calm and wild, are plain to tell apart; input n is calm where n is even."""
    job = JobBuilder(
        root,
        inputs=[f"run_{number}.csv" for number in range(inputs)],
        references=[("calm.csv", "calm"), ("wild.csv", "wild")],
    )
    sensor_csv(job.files / "calm.csv", 120, seed=1)
    sensor_csv(job.files / "wild.csv", 120, level=3, swing=4, seed=2)
    for number, name in enumerate(job.inputs):
        calm = number % 2 == 0
        sensor_csv(job.files / name, rows, level=0 if calm else 3, swing=1 if calm else 4, seed=10 + number)
    job.config = {
        "model_type": "stats_1",
        "batch_size": 4,
        "flush_every_n_iteration": 2,
        "reader_config": {"window_size": 16, "step_size": 1},
        "classifier_config": {"n_neighbors": 3},
        **config,
    }
    return job


class Killed(BaseException):
    """What a process feels of SIGKILL in a test: nothing catches it."""


class BreakingStore(Store):
    """A store that is killed at its nth write, before the write (`after` False) or right after it."""

    def __init__(self, store: Store, at: int, *, after: bool) -> None:
        self._store, self._left, self._after, self.url = store, at, after, store.url

    def __getattribute__(self, name: str) -> Any:
        if name in ("version", "reader", "get", "names"):
            return getattr(object.__getattribute__(self, "_store"), name)
        return object.__getattribute__(self, name)

    def put(self, path: str, content: bytes) -> None:
        """Count, and maybe die."""
        self._strike(lambda: self._store.put(path, content))

    def put_if_absent(self, path: str, content: bytes) -> bool:
        """Count, and maybe die."""
        answer: list[bool] = []
        self._strike(lambda: answer.append(self._store.put_if_absent(path, content)))
        return answer[0]

    def _strike(self, write: Callable[[], None]) -> None:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        write()
        if self._left == 0:
            raise Killed


@contextmanager
def killed_at(write: int, *, after: bool) -> Iterator[None]:
    """Inside, the worker's output store is killed at that write, counted from 1."""

    def broken(url: str, *, create: bool = False) -> Store:
        store = open_store(url, create=create)
        return BreakingStore(store, write, after=after) if create else store

    with patch("batch_worker.runner.open_store", broken):
        yield
