"""Sensor rows out of a CSV file, streamed: memory does not depend on the file's size. Used for inputs and references.

Sensors are read as float64, whatever the first rows look like; the timestamp stays the text that it is in the file.
An empty cell, NaN and infinity are missing values, and NaN in the rows handed out.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from batch_worker.errors import InputError

_BLOCK = 1024 * 1024
_BAD_VALUE = re.compile(
    r"CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to double: invalid value '(.*)'", re.DOTALL
)
_BAD_SHAPE = re.compile(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)")


class Rows(NamedTuple):
    """A block of rows: `timestamps` (n), `values` (n, columns)."""

    timestamps: pa.Array
    values: npt.NDArray[np.float64]


def read_rows(file: BinaryIO, columns: Sequence[str], timestamp_column: str) -> Iterator[Rows]:
    """The rows of a CSV file in order.

    Raises InputError for a file that is empty, malformed, lacks a column or has text in one.
    """
    header = read_header(file)
    for name in (timestamp_column, *columns):
        if header.count(name) != 1:
            raise InputError(f"the file has {'no' if name not in header else 'more than one'} column {name}")
    convert = pa.csv.ConvertOptions(
        include_columns=[timestamp_column, *columns],
        column_types={timestamp_column: pa.string(), **{name: pa.float64() for name in columns}},
    )
    try:
        with pa.csv.open_csv(file, read_options=_READ, convert_options=convert) as blocks:
            for block in blocks:
                values = np.empty((block.num_rows, len(columns)))
                for place in range(len(columns)):
                    values[:, place] = block.column(place + 1).to_numpy(zero_copy_only=False)
                values[~np.isfinite(values)] = np.nan
                yield Rows(block.column(0), values)
    except pa.ArrowInvalid as error:
        raise InputError(_in_words(str(error), header)) from error


def numeric_columns(file: BinaryIO, timestamp_column: str) -> list[str]:
    """The columns whose first rows (1 MiB of them) are numbers, without the timestamp. Raises InputError."""
    header = read_header(file)
    try:
        with pa.csv.open_csv(file, read_options=_READ) as blocks:
            schema = blocks.schema
    except pa.ArrowInvalid as error:
        raise InputError(_in_words(str(error), header)) from error
    return [
        field.name
        for field in schema
        if field.name != timestamp_column and (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    ]


def read_header(file: BinaryIO) -> list[str]:
    """The column names, without moving on in the file. Raises InputError where there are none."""
    peek = getattr(file, "peek", None)
    start: bytes = peek(_BLOCK) if peek else b""
    lines = [line for line in start.decode("utf-8-sig", errors="replace").splitlines()[:1000] if line]
    if not lines:
        raise InputError("the file is empty")
    return next(csv.reader(io.StringIO(lines[0])))


_READ = pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK)


def _in_words(error: str, header: Sequence[str]) -> str:
    """pyarrow's message, with the column's name in the place of its number."""
    if match := _BAD_VALUE.search(error):
        where = header[int(match[1])] if int(match[1]) < len(header) else f"#{match[1]}"
        line = f" in line {match[2]}" if match[2] else ""
        return f"column {where}: {match[3][:40]!r}{line} is not a number"
    if match := _BAD_SHAPE.search(error):
        line = f"line {match[1]}" if match[1] else "a line"
        return f"{line} has {match[3]} cells, the header {match[2]}"
    if "Empty CSV" in error:
        return "the file has no rows"
    return f"the file is no readable CSV: {error}"
