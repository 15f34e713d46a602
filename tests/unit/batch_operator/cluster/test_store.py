from dataclasses import dataclass, replace

import pytest

from batch_operator.cluster.store import MAX_TOMBSTONES, RecordStore, compare_versions, is_newer


@dataclass(frozen=True, slots=True)
class Rec:
    uid: str
    resource_version: str
    owner_uid: str = "job"
    said: str = ""
    namespace: str = "ns"
    name: str = ""
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Plain:
    """A record as of a Pipeline: without owner and without `deleted`."""

    uid: str
    resource_version: str
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Learner(Rec):
    """It keeps the first thing that was ever said."""

    def following(self, older: "Learner") -> "Learner":
        return replace(self, said=older.said or self.said)


Change = tuple[Rec | None, Rec | None]


@pytest.mark.parametrize("event", ["MODIFIED", "DELETED"])
def test_what_only_an_older_version_knew_is_kept(store: RecordStore[Rec], event: str) -> None:
    store.apply("ADDED", Learner("a", "1", said="first"))
    store.apply(event, Learner("a", "2", said="second"))
    (kept,) = store.by_owner("job")
    assert (kept.resource_version, kept.said) == ("2", "first")


@pytest.fixture
def changes() -> list[Change]:
    return []


@pytest.fixture
def store(changes: list[Change]) -> RecordStore[Rec]:
    return RecordStore(lambda old, new: changes.append((old, new)))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param("9", "10", -1, id="as-numbers-not-as-text"),
        pytest.param("10", "9", 1, id="newer"),
        pytest.param("7", "7", 0, id="equal"),
        pytest.param("99999999999999999999", "99999999999999999998", 1, id="beyond-64-bits"),
        pytest.param("x7", "x7", 0, id="equal-and-strange"),
        pytest.param("x7", "8", None, id="strange"),
        pytest.param("", "8", None, id="empty"),
        pytest.param("-1", "8", None, id="negative"),
        pytest.param("²", "8", None, id="digit-but-no-number"),
    ],
)
def test_versions_compare_as_numbers(a: str, b: str, expected: int | None) -> None:
    assert compare_versions(a, b) == expected
    assert is_newer(a, b) == (expected in (1, None))


def test_events_come_and_go(store: RecordStore[Rec], changes: list[Change]) -> None:
    first, second, last = Rec("u", "1", ""), Rec("u", "2", "", "more"), Rec("u", "3", "", "most")
    store.apply("ADDED", first)
    store.apply("MODIFIED", second)
    assert store.get("u") == second
    store.apply("DELETED", last)
    assert store.get("u") is None
    assert len(store) == 0
    assert changes == [(None, first), (first, second), (second, None)]
    assert store.resource_version == "3"


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        pytest.param("4", False, id="older"),
        pytest.param("5", False, id="the-same"),
        pytest.param("6", True, id="newer"),
        pytest.param("v6", True, id="not-comparable"),
    ],
)
@pytest.mark.parametrize("road", ["apply", "observe"])
def test_an_older_word_never_overwrites_a_newer_one(
    store: RecordStore[Rec], changes: list[Change], road: str, version: str, taken: bool
) -> None:
    store.apply("ADDED", Rec("u", "5", said="known"))
    record = Rec("u", version, said="other")
    if road == "apply":
        store.apply("MODIFIED", record)
    else:
        assert store.observe(record) is taken
    known = store.get("u")
    assert known is not None
    assert known.said == ("other" if taken else "known")
    assert len(changes) == (2 if taken else 1)


def test_our_own_write_is_known_at_once_but_moves_no_version(store: RecordStore[Rec]) -> None:
    store.replace([], "5")
    assert store.observe(Rec("u", "9"))
    assert store.get("u") is not None
    assert store.resource_version == "5"
    store.apply("ADDED", Rec("u", "9"))
    assert store.resource_version == "9"


def test_a_bookmark_moves_the_version_forward_only(store: RecordStore[Rec]) -> None:
    store.replace([], "5")
    store.advance("8")
    store.advance("7")
    store.advance("")
    assert store.resource_version == "8"


def test_objects_of_a_kopf_listing_do_not_move_the_version(store: RecordStore[Rec]) -> None:
    store.replace([], "5")
    store.apply(None, Rec("u", "9"))
    assert store.get("u") is not None
    assert store.resource_version == "5"


class TestReplace:
    def test_what_the_list_lacks_was_deleted_unseen(self, store: RecordStore[Rec], changes: list[Change]) -> None:
        gone, stays = Rec("gone", "1", ""), Rec("stays", "2", "")
        store.replace([gone, stays], "5")
        changes.clear()
        fresh = Rec("fresh", "7", "")
        store.replace([stays, fresh], "8")
        assert {record.uid for record in store.values()} == {"stays", "fresh"}
        assert changes == [(None, fresh), (gone, None)]

    def test_a_record_newer_than_the_list_is_kept(self, store: RecordStore[Rec]) -> None:
        store.replace([], "5")
        store.observe(Rec("ours", "9", ""))  # created after the list was taken, before it arrived
        store.replace([], "8")
        assert store.get("ours") is not None
        store.replace([], "9")
        assert store.get("ours") is None

    def test_an_older_listed_state_does_not_undo_our_own_write(self, store: RecordStore[Rec]) -> None:
        store.replace([Rec("u", "5")], "5")
        store.observe(Rec("u", "9", said="ours"))
        store.replace([Rec("u", "5")], "8")
        known = store.get("u")
        assert known is not None
        assert known.said == "ours"

    def test_what_could_not_be_decoded_is_not_taken_for_deleted(self, store: RecordStore[Rec]) -> None:
        store.replace([Rec("u", "1")], "5")
        store.replace([], "8", present={"u"})
        known = store.get("u")
        assert known is not None
        assert not known.deleted

    def test_incomparable_versions_trust_the_list(self, store: RecordStore[Rec]) -> None:
        store.replace([Rec("u", "x1", "")], "x5")
        store.replace([], "x8")
        assert store.get("u") is None
        store.apply("ADDED", Rec("u", "x9", ""))
        assert store.get("u") is not None

    def test_after_a_restore_of_etcd_the_list_is_right_in_all(self, store: RecordStore[Rec]) -> None:
        store.replace([Rec("a", "90", "", "later"), Rec("b", "91", "")], "100")
        store.apply("DELETED", Rec("c", "101", ""))
        store.replace([Rec("a", "40", "", "earlier"), Rec("c", "41", "")], "50")
        assert {record.uid: record.said for record in store.values()} == {"a": "earlier", "c": ""}
        assert store.resource_version == "50"


class TestTombstones:
    def test_a_late_answer_does_not_resurrect(self, store: RecordStore[Rec], changes: list[Change]) -> None:
        store.apply("ADDED", Rec("u", "5", ""))
        store.apply("DELETED", Rec("u", "8", ""))
        changes.clear()
        assert not store.observe(Rec("u", "6", ""))
        assert not store.observe(Rec("u", "x", ""))
        assert store.get("u") is None
        assert changes == []

    def test_a_late_answer_does_not_resurrect_what_a_list_lacked(self, store: RecordStore[Rec]) -> None:
        store.replace([Rec("u", "5", "")], "5")
        store.replace([], "9")
        assert not store.observe(Rec("u", "6", ""))

    def test_even_of_an_object_never_seen(self, store: RecordStore[Rec]) -> None:
        store.apply("DELETED", Rec("u", "8", ""))  # created and deleted before our POST was answered
        assert not store.observe(Rec("u", "6", ""))

    def test_an_older_event_does_not_resurrect_but_a_label_put_back_does(self, store: RecordStore[Rec]) -> None:
        store.apply("DELETED", Rec("u", "8", ""))  # its labels no longer matched our selector
        store.apply("MODIFIED", Rec("u", "7", ""))
        assert store.get("u") is None
        store.apply("ADDED", Rec("u", "9", ""))
        assert store.get("u") is not None
        assert store.observe(Rec("u", "10", ""))

    def test_they_last_for_a_whole_age(self, store: RecordStore[Rec]) -> None:
        store.apply("DELETED", Rec("u", "8", ""))
        store.grow_older()
        store.apply("DELETED", Rec("v", "9", ""))
        assert not store.observe(Rec("u", "6", ""))
        store.grow_older()
        assert store.observe(Rec("u", "6", ""))
        assert not store.observe(Rec("v", "6", ""))

    def test_they_are_bounded(self, store: RecordStore[Rec]) -> None:
        for number in range(MAX_TOMBSTONES + 1):
            store.apply("DELETED", Rec(f"u{number}", str(number + 1), ""))
        assert store.observe(Rec("u0", "1", ""))
        assert not store.observe(Rec("u1", "1", ""))


class TestDeletedCopies:
    def test_the_last_word_of_an_owned_object_is_kept(self, store: RecordStore[Rec], changes: list[Change]) -> None:
        store.apply("ADDED", Rec("u", "1"))
        store.apply("DELETED", Rec("u", "3", said="exit 0"))
        copy = Rec("u", "3", said="exit 0", deleted=True)
        assert store.get("u") == copy
        assert store.by_owner("job") == (copy,)
        assert changes[-1] == (Rec("u", "1"), copy)
        assert store.get_by_name("ns", "") is None

    def test_also_if_it_vanished_while_nobody_watched(self, store: RecordStore[Rec]) -> None:
        store.replace([Rec("u", "1", said="running")], "5")
        store.replace([], "8")
        assert store.by_owner("job") == (Rec("u", "1", said="running", deleted=True),)
        store.replace([], "9")
        assert len(store.by_owner("job")) == 1, "a second list does not take it away"

    def test_also_if_only_its_end_was_seen(self, store: RecordStore[Rec]) -> None:
        store.apply("DELETED", Rec("u", "3", said="exit 0"))
        assert [record.said for record in store.by_owner("job")] == ["exit 0"]

    def test_a_second_end_does_not_overwrite_the_first(self, store: RecordStore[Rec], changes: list[Change]) -> None:
        store.apply("DELETED", Rec("u", "3", said="exit 0"))
        store.apply("DELETED", Rec("u", "3", said="?"))
        assert [record.said for record in store.by_owner("job")] == ["exit 0"]
        assert len(changes) == 1

    def test_forget_ends_one_copy_and_no_living_record(self, store: RecordStore[Rec], changes: list[Change]) -> None:
        store.apply("ADDED", Rec("alive", "1"))
        store.apply("DELETED", Rec("dead", "2"))
        store.apply("DELETED", Rec("other", "3"))
        changes.clear()
        store.forget("alive")
        store.forget("dead")
        store.forget("never-seen")
        assert [record.uid for record in store.by_owner("job")] == ["alive", "other"]
        assert changes == [], "nothing new was observed"
        assert not store.observe(Rec("dead", "1")), "forgotten is not undone"

    def test_a_gone_owner_leaves_nothing_behind(self, store: RecordStore[Rec]) -> None:
        store.apply("ADDED", Rec("alive", "1"))
        store.apply("DELETED", Rec("dead", "2"))
        store.forget_owner("job")
        assert [record.uid for record in store.by_owner("job")] == ["alive"]
        store.apply("DELETED", Rec("alive", "3"))  # the garbage collector follows later
        assert store.by_owner("job") == ()
        assert store.owners() == ()
        assert len(store) == 0

    def test_it_is_remembered_while_anything_of_it_is_there(self, store: RecordStore[Rec]) -> None:
        store.apply("ADDED", Rec("alive", "1"))
        store.forget_owner("job")
        for _ in range(5):
            store.grow_older()
        store.apply("DELETED", Rec("alive", "3"))  # after a long grace period
        assert len(store) == 0
        store.grow_older()
        store.apply("DELETED", Rec("later", "4"))
        assert len(store) == 1, "and then no more"

    def test_other_owners_keep_theirs(self, store: RecordStore[Rec]) -> None:
        store.apply("DELETED", Rec("mine", "1", "job"))
        store.apply("DELETED", Rec("theirs", "2", "job-2"))
        store.forget_owner("job")
        assert store.owners() == ("job-2",)

    def test_without_an_owner_nothing_is_kept(self) -> None:
        store: RecordStore[Plain] = RecordStore()
        store.apply("ADDED", Plain("p", "1"))
        store.apply("DELETED", Plain("p", "2"))
        store.replace([Plain("q", "3")], "3")
        store.replace([], "4")
        assert len(store) == 0


def test_records_are_found_by_name_of_the_living(store: RecordStore[Rec]) -> None:
    store.apply("ADDED", Rec("old", "1", name="pod"))
    store.apply("DELETED", Rec("old", "2", name="pod"))
    store.apply("ADDED", Rec("new", "3", name="pod"))
    found = store.get_by_name("ns", "pod")
    assert found is not None
    assert found.uid == "new"
    store.replace([Rec("newest", "8", name="pod")], "8")  # replaced while nobody watched
    found = store.get_by_name("ns", "pod")
    assert found is not None
    assert found.uid == "newest"


def test_owners_records_keep_their_order_through_changes(store: RecordStore[Rec]) -> None:
    for number, uid in enumerate("abc"):
        store.apply("ADDED", Rec(uid, str(number + 1)))
    store.apply("MODIFIED", Rec("a", "10"))
    assert [record.uid for record in store.by_owner("job")] == ["a", "b", "c"]


def test_a_record_may_change_its_owner(store: RecordStore[Rec]) -> None:
    store.apply("ADDED", Rec("u", "1", ""))
    store.apply("MODIFIED", Rec("u", "2", "job"))
    store.apply("MODIFIED", Rec("u", "3", "job-2"))
    assert store.owners() == ("job-2",)


def test_a_broken_listener_stops_nobody(store: RecordStore[Rec], changes: list[Change]) -> None:
    def broken(old: Rec | None, new: Rec | None) -> None:
        raise RuntimeError("boom")

    late: list[Change] = []
    store.subscribe(broken)
    store.subscribe(lambda old, new: late.append((old, new)))
    store.apply("ADDED", Rec("u", "1"))
    assert changes == late == [(None, Rec("u", "1"))]
