"""Job files, all but the last used packed; and whether their ConfigMaps have been looked at."""

from datetime import timedelta

import pytest

from batch_operator.api.job_file import JobFile
from batch_operator.cluster.job_files import JobFiles
from tests.builders import NOW

FILES = {f"uid-{number}": JobFile.encode({"number": number}) for number in range(5)}


@pytest.fixture
def files() -> JobFiles:
    """Two of five are kept as they are."""
    made = JobFiles(recent=2)
    for uid, file in FILES.items():
        made.keep(uid, file)
    return made


def test_a_packed_file_comes_back_as_it_was(files: JobFiles) -> None:
    assert {uid: files.get(uid) for uid in FILES} == FILES
    assert len(files) == 5
    assert files.get("uid-0") is not FILES["uid-0"], "it was packed"


def test_the_last_used_are_kept_as_they_are(files: JobFiles) -> None:
    first = files.get("uid-0")
    assert files.get("uid-4") is FILES["uid-4"]
    assert files.get("uid-0") is first


def test_a_newer_file_takes_the_place_of_a_packed_one(files: JobFiles) -> None:
    newer = JobFile.encode({"number": "newer"})
    files.keep("uid-0", newer)
    assert files.get("uid-0") is newer
    assert len(files) == 5


@pytest.mark.parametrize("uid", ["uid-0", "uid-4"], ids=["packed", "recent"])
def test_what_is_forgotten_is_gone(files: JobFiles, uid: str) -> None:
    files.keep(uid, FILES[uid], unread=True)
    files.look_again(uid, NOW)
    files.forget(uid)
    assert (files.get(uid), files.read_at(uid), len(files)) == (None, None, 4)
    files.keep(uid, FILES[uid])
    assert not files.is_unread(uid)


class TestWhetherTheConfigMapWasRead:
    def test_of_a_job_that_is_not_known(self, files: JobFiles) -> None:
        assert files.is_unread("another")

    @pytest.mark.parametrize("uid", ["uid-0", "uid-4"], ids=["packed", "recent"])
    def test_of_one_whose_file_came_from_it(self, files: JobFiles, uid: str) -> None:
        assert not files.is_unread(uid)

    def test_of_one_that_was_made_anew_and_then_stored(self, files: JobFiles) -> None:
        files.keep("uid-0", FILES["uid-0"], unread=True)
        assert files.is_unread("uid-0")
        files.keep("uid-0", FILES["uid-0"])
        assert not files.is_unread("uid-0")

    def test_from_the_moment_of_a_new_look_what_was_known_does_not_count(self, files: JobFiles) -> None:
        files.look_again("uid-4", NOW)
        files.look_again("uid-0", NOW + timedelta(seconds=1))
        assert files.is_unread("uid-4")
        assert files.get("uid-4") is None
        assert files.read_at("uid-4") == NOW
