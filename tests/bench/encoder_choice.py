"""Compares encoders on the labelled Tennessee Eastman files: how the default was chosen (docs/accuracy.md).

Blocked in time, never shuffled: a test block is whole in time, and between it and what the encoder and the neighbours
were fitted on lies at least one window of rows that neither side sees. The inference files are looked at last, and only
for the table's last column. Needs ../shared/data/tep, 15 minutes and the worker extra.

    python -m tests.bench.encoder_choice [--seeds 3] [--only rocket_1]
"""

import argparse
import csv
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from batch_worker import cli  # noqa: F401 - first: it sets the number of threads before numpy comes

# isort: split
import numpy as np
import numpy.typing as npt

from batch_worker.workers.machine_state.encoders import Encoder, rocket, scale
from batch_worker.workers.machine_state.encoders.raw import RawEncoder
from batch_worker.workers.machine_state.encoders.rocket import RocketEncoder
from batch_worker.workers.machine_state.encoders.stats import StatsEncoder
from batch_worker.workers.machine_state.neighbours import Neighbours

TEP = Path(__file__).parents[3] / "shared" / "data" / "tep"
WINDOW = 64
ROWS = 1200
BATCH = 128
COLUMN_SETS = {3: ["xmeas_1", "xmeas_2", "xmv_11"], 52: None}
Windows = npt.NDArray[np.float64]


class Fold(NamedTuple):
    """First rows of the windows to learn from and to test on, alike for both classes."""

    kind: str
    train: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]


def folds() -> Iterator[Fold]:
    """blocks: each fifth, each tenth of the time, learning from both sides; later: learning from what came before."""
    starts = np.arange(ROWS - WINDOW + 1)
    for count in (5, 10):
        length = ROWS // count
        for begin in range(0, ROWS, length):
            end = begin + length
            yield Fold(
                f"{count} blocks",
                starts[(starts + WINDOW <= begin - WINDOW) | (starts >= end + WINDOW)],
                starts[(starts >= begin) & (starts + WINDOW <= end)],
            )
    for begin in (400, 500, 600, 1024, 1040, 1056, 1072):
        later = starts[starts >= begin + WINDOW]
        # Between rows 800 and 960 the file of faults shows a plant that runs well: what comes before is judged apart.
        test = later[later + WINDOW <= 800] if begin < 1000 else later
        yield Fold("later", starts[starts + WINDOW <= begin], test)


def read(name: str, columns: list[str] | None) -> Windows:
    """All windows of a file, (n, rows, columns)."""
    with (TEP / name).open() as file:
        lines = list(csv.DictReader(file))
    chosen = columns or [name for name in lines[0] if name != "timestamp"]
    values = np.array([[float(line[name]) for name in chosen] for line in lines])
    return np.lib.stride_tricks.sliding_window_view(values, WINDOW, axis=0).transpose(0, 2, 1)


def right(make: Callable[[], Encoder], train: list[Windows], test: list[Windows]) -> list[float]:
    """The share of windows of each class that get their class, as the worker would do it with its default settings."""
    encoder = make()
    sample = [
        windows[np.linspace(0, len(windows) - 1, min(len(windows), 512)).round().astype(int)] for windows in train
    ]
    encoder.fit(np.concatenate(sample), np.repeat([0, 1], [len(windows) for windows in sample]))

    def encode(windows: Windows) -> npt.NDArray[np.float32]:
        return np.concatenate([encoder.encode(windows[i : i + BATCH]) for i in range(0, len(windows), BATCH)])

    neighbours = Neighbours(5, "euclidean", "uniform", False)
    neighbours.fit(
        np.concatenate([encode(windows) for windows in train]), np.repeat([0, 1], [len(each) for each in train]), 2
    )
    return [float((neighbours.classify(encode(windows))[0] == label).mean()) for label, windows in enumerate(test)]


class Candidate(NamedTuple):
    """An encoder, perhaps with other constants; `seeds` says whether its result depends on one."""

    name: str
    make: Callable[[int], Encoder]
    seeds: bool
    constants: dict[str, object] = {}


def _rocket(name: str, **constants: object) -> Candidate:
    return Candidate(name, RocketEncoder, True, constants)


CANDIDATES = [
    Candidate("raw_1", lambda _: RawEncoder(), False),
    Candidate("stats_1", lambda _: StatsEncoder(), False),
    _rocket("rocket_1"),
    _rocket("rocket_1, no levels", _LEVEL_SHARE=0.0),
    _rocket("rocket_1, full weight of levels", _LEVEL_SHARE=1e9),
    _rocket("rocket_1, 16 components", _COMPONENTS=16),
    _rocket("rocket_1, components not whitened", _SHRINK=1e6),
]


def main() -> None:
    """Print the table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="one candidate's name")
    chosen = parser.parse_args()
    print(
        "| encoder | columns | 5 blocks | 10 blocks | later | cross-validation (by seed) | inference files (by seed) |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    labelled, unseen = {}, {}
    for columns, names in COLUMN_SETS.items():
        labelled[columns] = [read(f"tep_{name}.csv", names) for name in ("normal", "fault")]
        files = [read(f"tep_inference_{number}.csv", names) for number in range(8)]
        unseen[columns] = [np.concatenate(files[0::2]), np.concatenate(files[1::2])]
    for candidate in CANDIDATES:
        if chosen.only in ("", candidate.name):
            for columns in COLUMN_SETS:
                seeds = chosen.seeds if candidate.seeds else 1
                _line(candidate, columns, labelled[columns], unseen[columns], seeds)


def _line(candidate: Candidate, columns: int, labelled: list[Windows], unseen: list[Windows], seeds: int) -> None:
    kinds: dict[str, list[float]] = {}
    by_seed, inference = [], []
    for seed in range(seeds):
        make = partial(candidate.make, seed)
        found: dict[str, list[float]] = {}
        with _constants(candidate.constants):
            for fold in folds():
                share = right(make, [each[fold.train] for each in labelled], [each[fold.test] for each in labelled])
                found.setdefault(fold.kind, []).append(sum(share) / 2)
            inference.append(sum(right(make, labelled, unseen)) / 2)
        means = {kind: float(np.mean(shares)) for kind, shares in found.items()}
        by_seed.append(float(np.mean(list(means.values()))))
        for kind, mean in means.items():
            kinds.setdefault(kind, []).append(mean)
    cells = [f"{np.mean(kinds[kind]):.3f}" for kind in ("5 blocks", "10 blocks", "later")]
    for shares in (by_seed, inference):
        each = f" ({', '.join(f'{share:.3f}' for share in shares)})" if seeds > 1 else ""
        cells.append(f"{np.mean(shares):.3f}{each}")
    print(f"| {candidate.name} | {columns} | {' | '.join(cells)} |", flush=True)


class _constants:
    """The module constants of the encoder, replaced while the block runs."""

    def __init__(self, constants: dict[str, object]) -> None:
        self._patches = [
            patch.object(scale if name == "_SHRINK" else rocket, name, value) for name, value in constants.items()
        ]

    def __enter__(self) -> None:
        for each in self._patches:
            each.start()

    def __exit__(self, *_: object) -> None:
        for each in self._patches:
            each.stop()


if __name__ == "__main__":
    main()
