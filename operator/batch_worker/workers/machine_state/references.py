"""The labelled windows: all files of the n_shots port, each of one class. Called once by the worker's prepare."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from batch_worker.errors import InputError, InvalidConfig
from batch_worker.job import Input, Job
from batch_worker.runner import Stop
from batch_worker.storage import Store, safe_path
from batch_worker.workers.machine_state import settings
from batch_worker.workers.machine_state.reader import numeric_columns, read_rows
from batch_worker.workers.machine_state.settings import Settings
from batch_worker.workers.machine_state.windows import too_short

MOST_ROW_BYTES = 512 * 1024**2
MOST_SAMPLES = 1024


@dataclass(frozen=True)
class Example:
    """One reference file: `values` (rows, columns), class as a place in `class_names`, first rows of valid windows."""

    values: npt.NDArray[np.float64]
    label: int
    starts: npt.NDArray[np.intp]


@dataclass(frozen=True)
class Labelled:
    """All reference files. `invalid` windows are left out for missing values."""

    examples: list[Example]
    class_names: list[str]
    columns: tuple[str, ...]
    window: int
    invalid: int

    @property
    def classes(self) -> npt.NDArray[np.intp]:
        """The class of each window (n), as a place in `class_names`."""
        return np.concatenate([np.full(len(example.starts), example.label, dtype=np.intp) for example in self.examples])

    def batches(self, length: int) -> Iterator[npt.NDArray[np.float64]]:
        """All windows in order, (at most `length`, rows, columns) at a time."""
        for example in self.examples:
            for start in range(0, len(example.starts), length):
                yield self._take(example, example.starts[start : start + length])

    def sample(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
        """At most MOST_SAMPLES windows, evenly spread over each class, and their classes: what an
        encoder is fitted on.
        """
        windows, classes = [], []
        counts = np.bincount(self.classes, minlength=len(self.class_names))
        for example in self.examples:
            share = len(example.starts) / counts[example.label] * MOST_SAMPLES / len(self.class_names)
            count = max(1, min(len(example.starts), int(share)))
            chosen = np.linspace(0, len(example.starts) - 1, count).round().astype(np.intp)
            windows.append(self._take(example, example.starts[chosen]))
            classes.append(np.full(count, example.label, dtype=np.intp))
        return np.concatenate(windows), np.concatenate(classes)

    def _take(self, example: Example, starts: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        windows: npt.NDArray[np.float64] = example.values[starts[:, None] + np.arange(self.window)]
        return windows


def read(job: Job, chosen: Settings, inputs: Store, stop: Stop) -> Labelled:
    """Raises InvalidConfig, naming the file's path, where the references cannot be learned from."""
    files = [
        (f"spec.inputs[{port}][{file.number}]", file)
        for port, files in sorted(job.references.items())
        for file in files
    ]
    if not files:
        raise InvalidConfig(
            "spec.inputs[worker.n_shots]: there is no reference file",
            "Give at least one labelled file for each of two classes.",
        )
    for where, file in files:
        if not file.metadata.get("class"):
            raise InvalidConfig(
                f"{where}.metadata.class: the reference file {file.file_id} names no class",
                'Say which state the file shows: metadata: {class: "normal"}.',
            )
    class_names = sorted({file.metadata["class"] for _, file in files})
    if len(class_names) < 2:
        raise InvalidConfig(
            f"spec.inputs[{files[0][1].port}]: all reference files are of one class, {class_names[0]}",
            "Add reference files of at least one other class: metadata.class.",
        )
    columns = chosen.data_columns or _columns(files[0], chosen, inputs)
    examples: list[Example] = []
    invalid = 0
    for where, file in files:
        example, bad = _example(where, file, class_names.index(file.metadata["class"]), columns, chosen, inputs, stop)
        examples.append(example)
        invalid += bad
        if sum(each.values.nbytes for each in examples) > MOST_ROW_BYTES:
            raise InvalidConfig(
                f"{where}: the reference files up to {file.file_id} hold more rows than fit in memory",
                "Use shorter reference files: some thousand rows of each class are plenty.",
            )
    count = sum(len(example.starts) for example in examples)
    if chosen.n_neighbors > count:
        path = settings.path(job.component, "classifier_config", "n_neighbors")
        raise InvalidConfig(
            f"{path}: n_neighbors is {chosen.n_neighbors}, above the number of reference windows, {count}",
            f"Use n_neighbors of at most {count}, more reference rows, or a smaller step_size or window_size.",
        )
    return Labelled(examples, class_names, columns, chosen.window_size, invalid)


def _example(
    where: str, file: Input, label: int, columns: tuple[str, ...], chosen: Settings, inputs: Store, stop: Stop
) -> tuple[Example, int]:
    """The file and the number of its windows that have missing values."""
    blocks: list[npt.NDArray[np.float64]] = []
    size = 0
    try:
        with inputs.reader(safe_path(file.file_id)) as content:
            for rows in read_rows(content, columns, chosen.timestamp_column):
                stop.check()
                blocks.append(rows.values)
                size += rows.values.nbytes
                if size > MOST_ROW_BYTES:
                    raise InputError(f"it holds over {MOST_ROW_BYTES >> 20} MiB of values")
        values = np.concatenate(blocks) if blocks else np.empty((0, len(columns)))
        if len(values) < chosen.window_size:
            raise InputError(too_short(len(values), chosen.window_size))
    except (InputError, FileNotFoundError, PermissionError) as error:
        _refuse(where, file, error)
    starts = np.arange(0, len(values) - chosen.window_size + 1, chosen.step_size)
    missing = np.concatenate([[0], np.cumsum(np.isnan(values).any(axis=1))])
    good = starts[missing[starts + chosen.window_size] == missing[starts]]
    if not len(good):
        raise InvalidConfig(
            f"{where}: every window of the reference file {file.file_id} has missing values",
            "Fill or remove the empty cells, or leave the column out of data_columns.",
        )
    return Example(values, label, good), len(starts) - len(good)


def _columns(first: tuple[str, Input], chosen: Settings, inputs: Store) -> tuple[str, ...]:
    where, file = first
    try:
        with inputs.reader(safe_path(file.file_id)) as content:
            columns = tuple(numeric_columns(content, chosen.timestamp_column))
    except (InputError, FileNotFoundError, PermissionError) as error:
        _refuse(where, file, error)
    if not columns:
        raise InvalidConfig(
            f"{where}: the reference file {file.file_id} has no numeric column beside {chosen.timestamp_column}",
            "Name the sensors in reader_config.data_columns, or look at the file.",
        )
    return columns


def _refuse(where: str, file: Input, error: Exception) -> NoReturn:
    reason = f"the file {file.file_id} is not in the store" if isinstance(error, FileNotFoundError) else str(error)
    raise InvalidConfig(
        f"{where}: the reference file {file.file_id} cannot be used: {reason}",
        "Correct the file, its file_id, or reader_config; without its references a job cannot classify.",
    ) from error
