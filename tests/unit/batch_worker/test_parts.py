import json
from pathlib import Path
from typing import Any

from obstore.store import MemoryStore

from batch_worker.job import Input
from batch_worker.parts import Items, Parts, committed
from batch_worker.report import State
from batch_worker.storage import Store, Version

SOURCE = Input(3, "worker.inference", "folder/run.csv")
VERSION = Version(10, "tag-1")
MAKER: dict[str, Any] = {"model": "m"}


def parts(store: Store, version: Version = VERSION, maker: dict[str, Any] = MAKER, source: Input = SOURCE) -> Parts:
    return Parts(store, "worker.results", source, version, maker, State([source.number]))


def test_the_commit_record_lists_the_parts_in_order_and_nothing_of_the_pod() -> None:
    store = Store(MemoryStore())
    made = parts(store)
    made.write(b"one\n", Items(1, 0))
    made.write(b"two\n", Items(2, 1))
    assert committed(store, "worker.results", 3) is None
    assert made.commit()
    record = json.loads(store.get("worker.results/3/commit.json") or b"")
    assert [part["name"] for part in record["parts"]] == ["pred_run_part_00000.csv", "pred_run_part_00001.csv"]
    assert record["items"] == {"done": 3, "failed": 1}
    assert record["made_by"] == MAKER
    assert record["input"] == {"number": 3, "file_id": "folder/run.csv", "size": 10}
    assert committed(store, "worker.results", 3) == Items(3, 1)


def test_parts_of_the_same_origin_are_skipped_with_their_counts() -> None:
    store = Store(MemoryStore())
    parts(store).write(b"one\n", Items(4, 2))
    again = parts(store)
    assert again.skip_complete()
    assert again.items == Items(4, 2)
    assert not again.skip_complete()


def test_parts_of_another_origin_are_made_anew() -> None:
    store = Store(MemoryStore())
    parts(store).write(b"one\n", Items(1))
    for other in (
        parts(store, version=Version(10, "tag-2")),
        parts(store, version=Version(11, "tag-1")),
        parts(store, maker={"model": "other"}),
        parts(store, source=Input(3, "worker.inference", "other/run.csv")),
    ):
        assert not other.skip_complete()


def test_a_part_without_a_record_does_not_count() -> None:
    store = Store(MemoryStore())
    store.put("worker.results/3/pred_run_part_00000.csv", b"half")
    assert not parts(store).skip_complete()


def test_a_record_without_its_part_does_not_count() -> None:
    store = Store(MemoryStore())
    parts(store).write(b"one\n", Items(1))
    store.put("worker.results/3/pred_run_part_00000.csv", b"cut")
    assert not parts(store).skip_complete()


def test_a_record_that_is_no_json_does_not_count() -> None:
    store = Store(MemoryStore())
    parts(store).write(b"one\n", Items(1))
    store.put("worker.results/3/parts/00000.json", b"{")
    assert not parts(store).skip_complete()


def test_a_part_behind_a_gap_is_made_anew() -> None:
    store = Store(MemoryStore())
    made = parts(store)
    for content in (b"0", b"1", b"2"):
        made.write(content, Items(1))
    store.put("worker.results/3/parts/00001.json", b"{}")
    again = parts(store)
    assert again.skip_complete()
    assert not again.skip_complete()


def test_the_first_commit_stands(tmp_path: Path) -> None:
    store = Store(MemoryStore())
    first, second = parts(store), parts(store, maker={"model": "other"})
    first.write(b"one\n", Items(1))
    second.write(b"two\n", Items(9))
    assert first.commit()
    assert not second.commit()
    assert committed(store, "worker.results", 3) == Items(1)
