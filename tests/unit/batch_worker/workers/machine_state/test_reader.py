import io
from pathlib import Path

import numpy as np
import pytest
from obstore.store import MemoryStore

from batch_worker.errors import InputError
from batch_worker.storage import Store
from batch_worker.workers.machine_state import reader
from batch_worker.workers.machine_state.reader import Rows, numeric_columns, read_rows


def read(content: bytes, columns: tuple[str, ...] = ("a", "b")) -> list[Rows]:
    return list(read_rows(io.BufferedReader(io.BytesIO(content), 1024 * 1024), columns, "t"))


def test_columns_come_in_the_order_asked_for_as_numbers_and_the_timestamp_as_text() -> None:
    (rows,) = read(b"b,t,x,a\n1,007,no,2.5\n3,2024-01-01T00:00:00Z,no,4\n", ("a", "b"))
    assert rows.timestamps.to_pylist() == ["007", "2024-01-01T00:00:00Z"]
    np.testing.assert_array_equal(rows.values, [[2.5, 1], [4, 3]])


@pytest.mark.parametrize("cell", [b"", b"NaN", b"nan", b"NA", b"inf", b"-inf"])
def test_a_missing_value_is_nan(cell: bytes) -> None:
    (rows,) = read(b"t,a,b\n1," + cell + b",2\n")
    assert np.isnan(rows.values[0, 0])
    assert rows.values[0, 1] == 2


def test_a_byte_order_mark_and_windows_line_ends_pass() -> None:
    (rows,) = read(b"\xef\xbb\xbft,a,b\r\n1,2,3\r\n")
    np.testing.assert_array_equal(rows.values, [[2, 3]])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"t,a,b", "the file has no rows"),
        (b"t,a\n1,2\n", "the file has no column b"),
        (b"a,b\n1,2\n", "the file has no column t"),
        (b"t,a,b,a\n1,2,3,4\n", "the file has more than one column a"),
        (b"t,x,a,b\n1,2,3,4\n1,2,high,4\n", "column a: 'high' in line 3 is not a number"),
        (b"t,a,b\n1,2,3\n1,2\n", "line 3 has 2 cells, the header 3"),
        (b"t,a,b\n1,2,\xff\xfe\n", "column b"),
    ],
)
def test_a_bad_file_is_refused_in_words(content: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read(content)


def test_a_text_far_down_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="column b: 'zz' in line 400002 is not a number"):
        read(b"t,a,b\n" + b"1,2,3\n" * 400_000 + b"1,2,zz\n")


def test_a_long_file_comes_in_blocks_through_the_store() -> None:
    store = Store(MemoryStore())
    store.put("f", b"t,a,b\n" + b"".join(b"%d,%d,0.5\n" % (row, row) for row in range(300_000)))
    with store.reader("f") as file:
        blocks = list(read_rows(file, ("a", "b"), "t"))
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate([block.values[:, 0] for block in blocks]), np.arange(300_000))


def test_numeric_columns_are_those_whose_cells_are_numbers() -> None:
    content = b"t,whole,text,real,empty,flag\n1,2,x,0.5,,true\n2,3,y,1.5,,false\n"
    assert numeric_columns(io.BufferedReader(io.BytesIO(content)), "t") == ["whole", "real"]


def test_the_header_of_a_plain_file_can_be_read_too(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text('t,"a, b"\n1,2\n')
    with (tmp_path / "f.csv").open("rb") as file:
        assert reader.read_header(file) == ["t", "a, b"]
