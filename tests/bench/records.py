"""What runs left behind: one JSON line each, in a directory of its own for each `make bench`. Written by __main__ while
it goes on, read by report, which needs nothing else.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from tests.cluster.layout import CHECKOUT

HOME = CHECKOUT / "bench-results"
Record = dict[str, Any]


@dataclass(frozen=True)
class Records:
    directory: Path

    @classmethod
    def fresh(cls) -> "Records":
        directory = HOME / time.strftime("%Y%m%d-%H%M%S")
        directory.mkdir(parents=True)
        return cls(directory)

    @classmethod
    def newest(cls) -> "Records":
        """Raises LookupError where there are none."""
        found = sorted(HOME.glob("*/records.jsonl"))
        if not found:
            raise LookupError(f"no records are in {HOME}: run `make bench` first")
        return cls(found[-1].parent)

    @property
    def path(self) -> Path:
        return self.directory / "records.jsonl"

    def add(self, record: Record) -> None:
        with self.path.open("ab") as lines:
            lines.write(orjson.dumps(record, option=orjson.OPT_NON_STR_KEYS) + b"\n")

    def load(self) -> list[Record]:
        return [orjson.loads(line) for line in self.path.read_bytes().splitlines()]


def of(records: Iterable[Record], workload: str, **values: Any) -> list[Record]:
    """Those of a workload whose fields have these values."""
    return [
        record
        for record in records
        if record["workload"] == workload and all(record.get(key) == value for key, value in values.items())
    ]
