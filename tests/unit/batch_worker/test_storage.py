from pathlib import Path
from typing import Any

import obstore.exceptions
import pytest
from obstore.store import MemoryStore

from batch_worker.errors import InputError, InvalidConfig
from batch_worker.storage import Store, open_store, safe_path


def file_store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/a/b", create=True)


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return file_store(tmp_path) if request.param == "file" else Store(MemoryStore())


@pytest.mark.parametrize("file_id", ["a.csv", "folder/a.csv", "50% ü #1.csv", "a..b"])
def test_a_path_inside_the_store_passes(file_id: str) -> None:
    assert safe_path(file_id) == file_id


@pytest.mark.parametrize(
    "file_id",
    ["", "..", "../a", "a/../b", "/etc/passwd", "a//b", "s3://other/a", ".hidden", "a/.git/b", "a\\b", "a\nb", "a/"],
)
def test_a_path_that_leaves_the_store_is_refused(file_id: str) -> None:
    with pytest.raises(InputError):
        safe_path(file_id)


def test_a_put_replaces_and_a_get_sees_the_whole(store: Store) -> None:
    assert store.get("x/y") is None
    store.put("x/y", b"one")
    store.put("x/y", b"two")
    assert store.get("x/y") == b"two"
    assert store.names("x") == ["x/y"]


def test_put_if_absent_keeps_the_first(store: Store) -> None:
    assert store.put_if_absent("x", b"one")
    assert not store.put_if_absent("x", b"two")
    assert store.get("x") == b"one"


@pytest.mark.parametrize(
    "refusal",
    [NotImplementedError("no"), obstore.exceptions.NotSupportedError("no"), obstore.exceptions.GenericError("501")],
)
def test_a_store_that_refuses_conditional_puts_is_asked_first(refusal: Exception) -> None:
    class Refusing:
        def __init__(self) -> None:
            self.real: Any = MemoryStore()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def put(self, path: str, content: bytes, **options: Any) -> Any:
            if options.get("mode") == "create":
                raise refusal
            return self.real.put(path, content, **options)

    store = Store(Refusing())
    assert store.put_if_absent("x", b"one")
    assert not store.put_if_absent("x", b"two")
    assert store.get("x") == b"one"


def test_the_version_tells_another_content(tmp_path: Path) -> None:
    store = file_store(tmp_path)
    assert store.version("x") is None
    store.put("x", b"one")
    first = store.version("x")
    store.put("x", b"two")
    assert first is not None
    assert first.size == 3
    assert store.version("x") != first


def test_a_reader_streams_and_peeks(store: Store) -> None:
    store.put("x", b"0123456789" * 300_000)
    with store.reader("x") as reader:
        assert reader.peek(4)[:4] == b"0123"  # type: ignore[attr-defined]
        assert reader.read(3) == b"012"
        assert len(reader.read()) == 2_999_997


def test_a_reader_of_nothing_says_so(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.reader("nothing")


def test_another_scheme_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="file://, s3://, gs://"):
        open_store("http://somewhere/x")


def test_a_missing_input_folder_is_bad_config(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="cannot be opened"):
        open_store(f"file://{tmp_path}/nothing")


@pytest.mark.parametrize(
    "answer",
    [
        obstore.exceptions.PermissionDeniedError("403"),
        obstore.exceptions.GenericError("Unable to open file: Permission denied (os error 13)"),
    ],
)
def test_a_file_that_may_not_be_read_is_told_apart_from_a_broken_store(answer: Exception) -> None:
    class Forbidding:
        def head(self, path: str) -> None:
            raise answer

    with pytest.raises(PermissionError, match="the file a.csv may not be read"):
        Store(Forbidding()).version("a.csv")


def test_a_broken_store_is_no_bad_input() -> None:
    class Broken:
        def head(self, path: str) -> None:
            raise obstore.exceptions.GenericError("connection reset")

    with pytest.raises(obstore.exceptions.GenericError):
        Store(Broken()).version("a.csv")
