"""Job files, all but the last used packed."""

import pytest

from batch_operator.api.job_file import JobFile
from batch_operator.cluster.job_files import JobFiles

FILES = {f"uid-{number}": JobFile.encode({"number": number}) for number in range(5)}


@pytest.fixture
def files() -> JobFiles:
    """Two of five are kept as they are."""
    made = JobFiles(recent=2)
    made.update(FILES)
    return made


def test_a_packed_file_comes_back_as_it_was(files: JobFiles) -> None:
    assert dict(files) == FILES
    assert len(files) == 5
    assert files["uid-0"] is not FILES["uid-0"], "it was packed"


def test_the_last_used_are_kept_as_they_are(files: JobFiles) -> None:
    first = files["uid-0"]
    assert files["uid-4"] is FILES["uid-4"]
    assert files["uid-0"] is first


def test_a_newer_file_takes_the_place_of_a_packed_one(files: JobFiles) -> None:
    files["uid-0"] = newer = JobFile.encode({"number": "newer"})
    assert files["uid-0"] is newer
    assert len(files) == 5


@pytest.mark.parametrize("uid", ["uid-0", "uid-4"], ids=["packed", "recent"])
def test_what_is_taken_out_is_gone(files: JobFiles, uid: str) -> None:
    assert files.pop(uid) == FILES[uid]
    assert uid not in files
    assert len(files) == 4
    with pytest.raises(KeyError):
        del files[uid]
