"""`RecordStore`: the slim records of one resource type, kept true by a `Reflector` and by the answers to our
own writes.

Read by cluster.gather. Three things it takes care of, so that nobody else must: an older word never
overwrites a newer one; a deleted object never comes back through a late answer; what a deleted pod said stays
until its owner's status has it.
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import Any, Generic, Protocol, TypeVar, cast

import structlog

AGE_SECONDS = 45.0
"""How often a store is told that it has grown older. What is remembered of the dead outlives one age at least, and a
late answer is at most the client's 30 s old; ages are counted, since time also passes for a process that is stopped.
"""
MAX_TOMBSTONES = 50_000

log = structlog.get_logger(__name__)


class Record(Protocol):
    """A frozen dataclass. Optional fields: `owner_uid: str` ("" for none) and, where a deleted copy is to be
    kept, `deleted: bool`. Optional method: `following(older)`, the record with what only an older version knew.
    """

    @property
    def uid(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def resource_version(self) -> str: ...


R = TypeVar("R", bound=Record)
OnChange = Callable[[R | None, R | None], None]
"""(old, new): old None for a new record, new None for one that is gone; a kept deleted copy comes as new with
deleted=True.
"""


def compare_versions(a: str, b: str) -> int | None:
    """-1, 0, 1 as resourceVersions order (integers, KEP-5504), None where they cannot be compared."""
    if a == b:
        return 0
    if not (a.isascii() and a.isdigit() and b.isascii() and b.isdigit()):
        return None
    return (int(a) > int(b)) - (int(a) < int(b))


def is_newer(a: str, b: str) -> bool:
    """Whether a is newer than b; what cannot be compared counts as newer, so that no news is ever dropped for
    its version's look.
    """
    return compare_versions(a, b) in (1, None)


class RecordStore(Generic[R]):
    """Records by uid, by name and by owner. `on_change` (see `subscribe`) is called synchronously after the
    store has changed.
    """

    def __init__(self, on_change: OnChange[R] | None = None) -> None:
        self._listeners: list[OnChange[R]] = [on_change] if on_change else []
        self._by_uid: dict[str, R] = {}
        self._by_name: dict[tuple[str, str], str] = {}
        self._by_owner: dict[str, dict[str, None]] = {}
        self._age = 0
        self._tombstones: OrderedDict[str, tuple[str, int]] = OrderedDict()  # uid -> (version, age of its death)
        self._gone_owners: dict[str, int] = {}  # owner uid -> age
        self._version = ""

    # -- reading

    @property
    def resource_version(self) -> str:
        """How far the watch has brought this store; "" before the first list."""
        return self._version

    def __len__(self) -> int:
        return len(self._by_uid)

    @property
    def tombstones(self) -> int:
        """How many of the dead are remembered."""
        return len(self._tombstones)

    def get(self, uid: str) -> R | None:
        return self._by_uid.get(uid)

    def get_by_name(self, namespace: str, name: str) -> R | None:
        """The living object of that name; never a deleted copy."""
        uid = self._by_name.get((namespace, name))
        return None if uid is None else self._by_uid.get(uid)

    def by_owner(self, owner_uid: str) -> tuple[R, ...]:
        """All records of the owner in the order in which they were first seen, deleted copies included."""
        return tuple(self._by_uid[uid] for uid in self._by_owner.get(owner_uid, ()))

    def owners(self) -> tuple[str, ...]:
        """The uids of all owners that have records here, for an audit against the owners that still live."""
        return tuple(self._by_owner)

    def values(self) -> tuple[R, ...]:
        return tuple(self._by_uid.values())

    def subscribe(self, on_change: OnChange[R]) -> None:
        self._listeners.append(on_change)

    # -- writing: the reflector

    def apply(self, event_type: str | None, record: R) -> None:
        """One watch event: ADDED, MODIFIED, DELETED, or None as kopf calls an object that it lists."""
        if event_type == "DELETED":
            self._remove(record.uid, record.resource_version, last=record)
        else:
            tombstone = self._tombstones.get(record.uid)
            if tombstone is None or is_newer(record.resource_version, tombstone[0]):
                self._tombstones.pop(record.uid, None)  # its labels matched no more, and do again
                self._put(record)
        if event_type is not None:  # objects of a listing come in any order of versions
            self.advance(record.resource_version)

    def advance(self, version: str) -> None:
        """A bookmark: everything up to this version has been applied."""
        if version and is_newer(version, self._version):
            self._version = version

    def replace(self, records: Iterable[R], list_version: str, *, present: Collection[str] = ()) -> None:
        """A whole consistent list. What it lacks was deleted while nobody watched, unless it is newer than
        the list.

        `present`: uids that the list has, but that could not be decoded; they are left as they are.
        """
        restored = compare_versions(list_version, self._version) == -1
        if restored:
            log.warning("versions went backwards, as after a restore of etcd", before=self._version, now=list_version)
            self._tombstones.clear()
        seen = set(present)
        for record in records:
            seen.add(record.uid)
            tombstone = self._tombstones.get(record.uid)
            if tombstone is None or is_newer(list_version, tombstone[0]):
                self._tombstones.pop(record.uid, None)
                self._put(record, force=restored)
        for record in list(self._by_uid.values()):
            missing = record.uid not in seen and not getattr(record, "deleted", False)
            if missing and (restored or compare_versions(record.resource_version, list_version) != 1):
                self._remove(record.uid, list_version)
        self._version = list_version

    def expire(self, present: Collection[str], list_version: str) -> int:
        """Removes the records that a consistent list (`present`: its uids) lacks -> how many. For a store that
        another watch keeps: it may know more than the list, so only what is no newer than the list goes.
        """
        missing = [
            record
            for record in self._by_uid.values()
            if record.uid not in present
            and not getattr(record, "deleted", False)
            and compare_versions(record.resource_version, list_version) in (-1, 0)
        ]
        for record in missing:
            self._remove(record.uid, list_version)
        return len(missing)

    # -- writing: answers to our own requests, and the end of what was kept

    def observe(self, record: R) -> bool:
        """The answer to a write of our own. False, and no change, if the watch knows better: it is newer, or
        the object is gone.
        """
        if record.uid in self._tombstones:
            return False
        return self._put(record)

    def remember_deleted(self, record: R) -> None:
        """A deleted copy that no watch brought: the server was asked for the object, and it is gone. Tells no
        listener.
        """
        if getattr(record, "owner_uid", "") in self._gone_owners or record.uid in self._by_uid:
            return
        self._by_uid[record.uid] = record
        self._by_owner.setdefault(getattr(record, "owner_uid", ""), {})[record.uid] = None

    def forget(self, uid: str) -> None:
        """A deleted copy is no longer needed: its word is in the owner's status. Tells no listener. Living
        records stay.
        """
        record = self._by_uid.get(uid)
        if record is not None and getattr(record, "deleted", False):
            del self._by_uid[uid]
            self._unindex(record)

    def forget_owner(self, owner_uid: str) -> None:
        """The owner is gone: its deleted copies go, and no more are kept of the records that follow it."""
        self._gone_owners[owner_uid] = self._age
        for record in self.by_owner(owner_uid):
            self.forget(record.uid)

    def grow_older(self) -> None:
        """To be called every AGE_SECONDS: lets go what was remembered of objects that died before the last call, and
        of owners likewise, unless objects of theirs are still there. Their uids are a thirtieth of what the objects
        took, but they lie among them, and would keep all that memory from the system."""
        self._age += 1
        while self._tombstones and next(iter(self._tombstones.values()))[1] < self._age - 1:
            self._tombstones.popitem(last=False)
        if not self._tombstones:
            self._tombstones = OrderedDict()  # one that has been large stays large
        self._gone_owners = {
            uid: age for uid, age in self._gone_owners.items() if age >= self._age - 1 or uid in self._by_owner
        }

    # -- inside

    def _put(self, record: R, *, force: bool = False) -> bool:
        old = self._by_uid.get(record.uid)
        if old is not None and not force and not is_newer(record.resource_version, old.resource_version):
            return False
        if old is not None and hasattr(record, "following"):
            record = record.following(old)
        owner = getattr(record, "owner_uid", "")
        deleted = getattr(record, "deleted", False)
        if old is not None and getattr(old, "owner_uid", "") != owner:
            self._unindex(old)
        self._by_uid[record.uid] = record
        if not deleted:
            self._by_name[(record.namespace, record.name)] = record.uid
        elif self._by_name.get((record.namespace, record.name)) == record.uid:
            del self._by_name[(record.namespace, record.name)]
        if owner:
            self._by_owner.setdefault(owner, {})[record.uid] = None
        self._tell(old, record)
        return True

    def _remove(self, uid: str, version: str, last: R | None = None) -> None:
        """`last`: the object's last state, as a DELETED event carries it; without one the record's own state
        is its last.
        """
        old = self._by_uid.get(uid)
        self._bury(uid, version)
        last = last or old
        if last is None or (old is not None and getattr(old, "deleted", False)):
            return
        owner = getattr(last, "owner_uid", "")
        if owner and hasattr(last, "deleted") and owner not in self._gone_owners:
            self._put(cast(R, dataclasses.replace(cast(Any, last), deleted=True)), force=True)
        elif old is not None:
            self._drop(old)

    def _drop(self, record: R) -> None:
        del self._by_uid[record.uid]
        self._unindex(record)
        self._tell(record, None)

    def _unindex(self, record: R) -> None:
        key = (record.namespace, record.name)
        if self._by_name.get(key) == record.uid:
            del self._by_name[key]
        owner = getattr(record, "owner_uid", "")
        siblings = self._by_owner.get(owner, {})
        siblings.pop(record.uid, None)
        if not siblings:
            self._by_owner.pop(owner, None)

    def _bury(self, uid: str, version: str) -> None:
        self._tombstones[uid] = (version, self._age)
        self._tombstones.move_to_end(uid)
        if len(self._tombstones) > MAX_TOMBSTONES:
            self._tombstones.popitem(last=False)

    def _tell(self, old: R | None, new: R | None) -> None:
        for listener in self._listeners:
            try:
                listener(old, new)
            except Exception:  # a broken listener must not stop the watch
                log.exception("on_change failed", uid=(new or cast(R, old)).uid)
