"""Results of one input: fixed-range parts, a record of each finished part, and the commit record that makes them count.

Layout under <output URL>/<output port>/<input number>/ (design section 4, docs/pod-contract.md):

    pred_<stem>_part_00000.csv   a part: which items it holds follows from the config alone
    parts/00000.json             its record, written after it: names the bytes and what they were made from
    commit.json                  written put-if-absent, last; readers look at nothing that it does not list

A part is complete when its record is there and was made from the same input, config and model (`made_from`). So a
killed worker repeats at most the part it was in, an unfinished part never shows, and parts of different origin never
mix. No record holds a time, an attempt or a pod's name: the same input gives the same bytes whoever does the work.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from batch_worker.job import Input
from batch_worker.report import State
from batch_worker.storage import Store, Version

COMMIT = "commit.json"
RECORD_VERSION = 1


@dataclass(frozen=True)
class Items:
    """Items of a part or of an input: with a result, and without one (such as windows with missing values)."""

    done: int = 0
    failed: int = 0

    def __add__(self, other: "Items") -> "Items":
        return Items(self.done + other.done, self.failed + other.failed)


def folder(output_port: str, number: int) -> str:
    """Where the results of input `number` lie, relative to the job's output URL."""
    return f"{output_port}/{number}"


def canonical(value: Any) -> bytes:
    """JSON with one way to write each value, so that equal records are equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def committed(store: Store, output_port: str, number: int) -> Items | None:
    """The items of input `number` where its results are committed already, else None."""
    content = store.get(f"{folder(output_port, number)}/{COMMIT}")
    if content is None:
        return None
    items = json.loads(content)["items"]
    return Items(items["done"], items["failed"])


class Parts:
    """The parts of one input, written in order of their numbers, from 0 without a gap."""

    def __init__(
        self, store: Store, output_port: str, source: Input, version: Version, maker: dict[str, Any], state: State
    ) -> None:
        """`maker` is all that the bytes depend on besides the input: worker, config, model (JSON values)."""
        self._store, self._input, self._version, self._maker, self._state = store, source, version, maker, state
        self._folder = folder(output_port, source.number)
        made_from = {
            "record": RECORD_VERSION,
            "file_id": source.file_id,
            "size": version.size,
            "tag": version.tag,
            **maker,
        }
        self._made_from = hashlib.sha256(canonical(made_from)).hexdigest()
        self._records: list[dict[str, Any]] = []
        self.items = Items()
        self._earlier = self._find_earlier()

    @property
    def next_number(self) -> int:
        """The number of the next part."""
        return len(self._records)

    def skip_complete(self) -> bool:
        """True, moving on to the next part, where an earlier attempt finished this one."""
        record = self._earlier.get(self.next_number)
        if record is None:
            return False
        self._add(record)
        return True

    def progress(self, items: Items) -> None:
        """How far the part in work is; only for the reports."""
        self._state.advance(self.items.done + items.done, self.items.failed + items.failed)

    def write(self, content: bytes, items: Items) -> None:
        """Write the next part, then its record."""
        number = self.next_number
        name = f"pred_{PurePosixPath(self._input.file_id).stem}_part_{number:05d}.csv"
        record = {
            "name": name,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "items": {"done": items.done, "failed": items.failed},
        }
        self._store.put(f"{self._folder}/{name}", content)
        self._store.put(f"{self._folder}/parts/{number:05d}.json", canonical({"made_from": self._made_from, **record}))
        self._add(record)

    def commit(self) -> bool:
        """Make the parts count. False where another worker committed this input first; its record stands."""
        record = {
            "version": RECORD_VERSION,
            "input": {"number": self._input.number, "file_id": self._input.file_id, "size": self._version.size},
            "made_by": self._maker,
            "items": {"done": self.items.done, "failed": self.items.failed},
            "parts": self._records,
        }
        return self._store.put_if_absent(f"{self._folder}/{COMMIT}", canonical(record))

    def _add(self, record: dict[str, Any]) -> None:
        self._records.append({name: record[name] for name in ("name", "size", "sha256", "items")})
        self.items += Items(record["items"]["done"], record["items"]["failed"])
        self._state.advance(self.items.done, self.items.failed)

    def _find_earlier(self) -> dict[int, dict[str, Any]]:
        """Records of an earlier attempt that fit, by number, from 0 up to the first that is missing or
        of other origin.
        """
        found: dict[int, dict[str, Any]] = {}
        names = set(self._store.names(f"{self._folder}/parts"))
        while (path := f"{self._folder}/parts/{len(found):05d}.json") in names:
            try:
                record = json.loads(self._store.get(path) or b"{}")
            except ValueError:
                break
            if record.get("made_from") != self._made_from:
                break
            part = self._store.version(f"{self._folder}/{record['name']}")
            if part is None or part.size != record["size"]:
                break
            found[len(found)] = record
        return found
