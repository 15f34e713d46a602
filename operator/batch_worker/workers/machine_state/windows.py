"""Cuts a stream of rows into windows, in batches whose borders follow from the config alone.

Window w begins at row w * step. A batch never crosses the border of a part, and its size does not depend on how the
rows arrive: so the same file gives the same batches, and thereby the same bytes, at every attempt.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batch_worker.errors import InputError
from batch_worker.workers.machine_state.reader import Rows

_LEAST_WINDOWS, _MOST_WINDOWS = 128, 256
_MOST_BYTES = 8 * 1024 * 1024


class Batch(NamedTuple):
    """`first` is the number of the first window; `windows` is (n, rows, columns) and only a view,
    `timestamps` has n texts.
    """

    first: int
    windows: npt.NDArray[np.float64]
    timestamps: list[str]


def batch_length(batch_size: int, window: int, step: int, columns: int) -> int:
    """Windows encoded at once: `batch_size`, but 128 to 256, and fewer where their rows would take over 8 MiB."""
    rows = max(window, _MOST_BYTES // (8 * columns))
    return max(1, min(max(batch_size, _LEAST_WINDOWS), _MOST_WINDOWS, (rows - window) // step + 1))


def batches(rows: Iterable[Rows], *, window: int, step: int, batch: int, part: int) -> Iterator[Batch]:
    """All complete windows in order; rows at the end that fill no window are left out.

    `batch` and `part` count windows. Raises InputError where there are fewer rows than one window takes.
    """
    kept: Rows | None = None
    base = total = number = 0  # row number of kept[0]; rows seen; number of the next window
    for block in rows:
        total += len(block.values)
        kept = (
            block
            if kept is None
            else Rows(
                pa.concat_arrays([kept.timestamps, block.timestamps]), np.concatenate([kept.values, block.values])
            )
        )
        while True:
            count = min(batch, part - number % part)
            if total < (number + count - 1) * step + window:
                break
            yield _cut(kept, base, number, count, window, step)
            number += count
        drop = min(max(0, number * step - base), len(kept.values))
        kept, base = Rows(kept.timestamps.slice(drop), kept.values[drop:]), base + drop
    if total < window:
        raise InputError(too_short(total, window))
    last = (total - window) // step + 1
    while number < last and kept is not None:
        count = min(batch, part - number % part, last - number)
        yield _cut(kept, base, number, count, window, step)
        number += count


def too_short(rows: int, window: int) -> str:
    """The reason for a file of fewer rows than a window."""
    return f"the file has {rows} rows, fewer than a window of {window}" if rows else "the file has no rows"


def _cut(kept: Rows, base: int, number: int, count: int, window: int, step: int) -> Batch:
    start = number * step - base
    values = kept.values[start : start + (count - 1) * step + window]
    windows = np.lib.stride_tricks.sliding_window_view(values, window, axis=0)[::step].transpose(0, 2, 1)
    starts = pa.array(np.arange(start, start + count * step, step))
    return Batch(number, windows, kept.timestamps.take(starts).to_pylist())
