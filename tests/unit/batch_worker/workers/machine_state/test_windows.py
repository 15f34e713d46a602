from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from batch_worker.errors import InputError
from batch_worker.workers.machine_state.reader import Rows
from batch_worker.workers.machine_state.windows import Batch, batch_length, batches


def rows(count: int, block: int) -> Iterator[Rows]:
    """`count` rows whose two columns are the row number and its negative, `block` at a time."""
    for start in range(0, count, block):
        numbers = np.arange(start, min(start + block, count), dtype=float)
        yield Rows(pa.array([f"t{int(number)}" for number in numbers]), np.stack([numbers, -numbers], axis=1))


def cut(count: int, block: int, window: int, step: int, batch: int = 4, part: int = 8) -> list[Batch]:
    return [
        Batch(b.first, np.array(b.windows), b.timestamps)
        for b in batches(rows(count, block), window=window, step=step, batch=batch, part=part)
    ]


@pytest.mark.parametrize("block", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("count", "window", "step"), [(50, 8, 1), (50, 8, 3), (50, 8, 8), (50, 8, 20), (8, 8, 1), (9, 8, 5)]
)
def test_every_complete_window_once_whatever_the_blocks(count: int, window: int, step: int, block: int) -> None:
    found = cut(count, block, window, step)
    starts = list(range(0, count - window + 1, step))
    windows = np.concatenate([batch.windows for batch in found])
    assert windows.shape == (len(starts), window, 2)
    np.testing.assert_array_equal(windows[:, :, 0], [np.arange(start, start + window) for start in starts])
    assert [stamp for batch in found for stamp in batch.timestamps] == [f"t{start}" for start in starts]
    assert [batch.first for batch in found] == list(np.cumsum([0, *(len(batch.windows) for batch in found)])[:-1])


def test_batches_end_at_the_borders_of_parts() -> None:
    assert [len(batch.windows) for batch in cut(40, 1000, 8, 1, batch=5, part=12)] == [5, 5, 2, 5, 5, 2, 5, 4]


@pytest.mark.parametrize("block", [1, 13, 1000])
def test_batches_do_not_depend_on_the_blocks(block: int) -> None:
    expected = [(b.first, len(b.windows)) for b in cut(200, 1000, 8, 2, batch=7, part=21)]
    assert [(b.first, len(b.windows)) for b in cut(200, block, 8, 2, batch=7, part=21)] == expected


@pytest.mark.parametrize(
    ("count", "reason"), [(7, "the file has 7 rows, fewer than a window of 8"), (0, "the file has no rows")]
)
def test_too_few_rows_are_refused(count: int, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        cut(count, 10, 8, 1)


def test_a_batch_is_bounded_in_bytes() -> None:
    assert batch_length(1, 64, 1, 3) == 128
    assert batch_length(200, 64, 1, 3) == 200
    assert batch_length(65_536, 64, 1, 3) == 256
    assert batch_length(32, 64, 64, 1024) == 16
    assert batch_length(32, 4096, 1_000_000, 1024) == 1
