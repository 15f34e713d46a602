"""The worker of machine-state-classification: fit on the references once, then classify every window of every input.

Each line of a result is one window: the timestamp of its first row, the state, the share of the votes that it got
(confidence), whether the window had missing values (invalid: then there is no state), and the number of its first row.
"""

import csv
import hashlib
import io
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from batch_worker import log
from batch_worker.errors import InputError, InvalidConfig
from batch_worker.job import Input, Job
from batch_worker.parts import Items, Parts
from batch_worker.runner import Stop
from batch_worker.storage import Store
from batch_worker.workers.machine_state import encoders, references, settings
from batch_worker.workers.machine_state.neighbours import Neighbours
from batch_worker.workers.machine_state.reader import read_rows
from batch_worker.workers.machine_state.windows import Batch, batch_length, batches

RESULT_VERSION = 1
MOST_EMBEDDING_BYTES = 512 * 1024**2


class MachineStateClassification:
    """Implements runner.Worker."""

    def prepare(self, job: Job, inputs: Store, stop: Stop) -> None:
        """Fit encoder and neighbours on the reference files. Raises InvalidConfig."""
        self._inputs, self._stop = inputs, stop
        self._settings = settings.parse(job.config, job.component)
        chosen = encoders.find(self._settings.model_type, settings.path(job.component, "model_type"))
        labelled = references.read(job, self._settings, inputs, stop)
        self._classes, self._columns = labelled.class_names, labelled.columns
        self._encoder = chosen.make()
        self._encoder.fit(*labelled.sample())
        self._batch = batch_length(
            self._settings.batch_size, self._settings.window_size, self._settings.step_size, len(self._columns)
        )
        embeddings, classes = self._encode(labelled, stop), labelled.classes
        if not np.any(embeddings != embeddings[0]):
            raise InvalidConfig(
                f"{settings.path(job.component, 'reader_config', 'data_columns')}: all reference windows are alike in "
                f"{', '.join(self._columns[:5])}; nothing tells {' from '.join(self._classes[:2])}",
                "Use columns that move, and look at the reference files.",
            )
        self._neighbours = Neighbours(
            self._settings.n_neighbors,
            self._settings.metric,
            self._settings.weights,
            self._settings.normalize_embeddings,
        )
        self._neighbours.fit(embeddings, classes, len(self._classes))
        self._asked, self._ran = self._settings.model_type, chosen.name
        self._model = hashlib.sha256(embeddings.tobytes() + classes.astype("<i8").tobytes()).hexdigest()
        log.info(
            "references are encoded",
            encoder=chosen.name,
            windows=len(embeddings),
            dims=embeddings.shape[1],
            classes=self._classes,
            columns=len(self._columns),
            invalid_windows=labelled.invalid,
            model=self._model[:12],
        )

    def _encode(self, labelled: references.Labelled, stop: Stop) -> npt.NDArray[np.float32]:
        embeddings: list[npt.NDArray[np.float32]] = []
        for windows in labelled.batches(self._batch):
            stop.check()
            embeddings.append(self._encoder.encode(windows))
            if len(embeddings) * embeddings[0].nbytes > MOST_EMBEDDING_BYTES:
                raise InvalidConfig(
                    f"the reference files give over {len(embeddings) * self._batch} windows, more than fit in memory",
                    "Use a larger step_size, or shorter reference files.",
                )
        return np.concatenate(embeddings)

    def maker(self) -> dict[str, Any]:
        """Which encoder really ran, the fitted model's hash, and the settings that shape the result."""
        chosen = self._settings
        return {
            "worker": "machine-state-classification",
            "worker_version": RESULT_VERSION,
            "model_type": self._asked,
            "encoder": self._ran,
            "model_sha256": self._model,
            "classes": self._classes,
            "data_columns": list(self._columns),
            "timestamp_column": chosen.timestamp_column,
            "window_size": chosen.window_size,
            "step_size": chosen.step_size,
            "n_neighbors": chosen.n_neighbors,
            "metric": chosen.metric,
            "weights": chosen.weights,
            "normalize_embeddings": chosen.normalize_embeddings,
            "windows_a_part": chosen.windows_a_part,
            "batch": self._batch,
            "libraries": {name: version(name) for name in ("numpy", "pyarrow")},
        }

    def notice(self) -> str:
        """Says which encoder really runs, above all where the config names one that is not ours."""
        if self._asked == self._ran:
            return f"The encoder is {self._ran}."
        return (
            f"model_type {self._asked} is another name for {self._ran} here: an open encoder, not the vendor's model."
        )

    def process(self, source: Input, path: str, results: Parts) -> None:
        """All windows of one CSV file. Raises InputError."""
        chosen = self._settings
        with self._inputs.reader(path) as file:
            rows = read_rows(file, self._columns, chosen.timestamp_column)
            part = _Part(chosen.timestamp_column)
            skipping = results.skip_complete()
            for batch in batches(
                rows, window=chosen.window_size, step=chosen.step_size, batch=self._batch, part=chosen.windows_a_part
            ):
                if batch.first and batch.first % chosen.windows_a_part == 0:
                    part = self._end(part, skipping, results)
                    skipping = results.skip_complete()
                self._stop.check()  # here, so that a part whose last window is done is still written
                if not skipping:
                    self._classify(batch, part)
                    results.progress(part.items)
            self._end(part, skipping, results)
        if not results.items.done:
            raise InputError(
                f"every one of the {results.items.failed} windows has missing values (empty cells, NaN or infinity)"
            )

    @staticmethod
    def _end(part: "_Part", skipping: bool, results: Parts) -> "_Part":
        if not skipping:
            results.write(part.content(), part.items)
        return _Part(part.timestamp_column)

    def _classify(self, batch: Batch, part: "_Part") -> None:
        valid: npt.NDArray[np.bool_] = ~np.any(np.isnan(batch.windows), axis=(1, 2))
        states: list[str] = []
        confidences: list[float] = []
        if np.any(valid):
            found, shares = self._neighbours.classify(self._encoder.encode(batch.windows[valid]))
            states, confidences = [self._classes[number] for number in found], shares.tolist()
        answers = iter(zip(states, confidences, strict=True))
        for place, (timestamp, good) in enumerate(zip(batch.timestamps, valid.tolist(), strict=True)):
            row = (batch.first + place) * self._settings.step_size
            state, confidence = next(answers) if good else ("", None)
            part.add(timestamp, state, confidence, row)


class _Part:
    """The lines of one part, growing."""

    def __init__(self, timestamp_column: str) -> None:
        self.timestamp_column = timestamp_column
        self._text = io.StringIO()
        self._lines = csv.writer(self._text, lineterminator="\n")
        self._lines.writerow([timestamp_column, "Prediction", "confidence", "invalid", "window_start_row"])
        self._done = self._failed = 0

    def add(self, timestamp: str, state: str, confidence: float | None, row: int) -> None:
        """One window; without a confidence it is an invalid one."""
        good = confidence is not None
        self._lines.writerow([timestamp, state, f"{confidence:.4f}" if good else "", 0 if good else 1, row])
        self._done, self._failed = self._done + good, self._failed + (not good)

    @property
    def items(self) -> Items:
        """Windows with and without a state."""
        return Items(self._done, self._failed)

    def content(self) -> bytes:
        """The file."""
        return self._text.getvalue().encode()
