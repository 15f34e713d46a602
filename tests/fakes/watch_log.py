"""What the fake API server has committed, in order, and the watches on it. Used by api_server.

The log is also the server's own history: the fault tests judge every plan by it.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.fakes.clock import SimulatedClock
from tests.fakes.resource_types import Object, ResourceType, refusal

BOOKMARK_SECONDS = 60.0
BOOKMARK_BEFORE_END_SECONDS = 2.0
Matches = Callable[[Object], bool]


@dataclass(frozen=True, slots=True)
class Commit:
    """One change. `object`: as it is after it (DELETED: its last state, with the version of the deletion). Objects
    are shared by all readers, and nobody changes one.
    """

    version: int
    at: float
    actor: str
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    resource: ResourceType
    namespace: str
    name: str
    object: Object
    previous: Object | None


def parse_selector(text: str) -> Matches:
    """Equality, inequality and existence ("a=b,c!=d,e,!f"), as much as is used here."""
    terms = [term.strip() for term in text.split(",") if term.strip()]

    def matches(obj: Object) -> bool:
        labels: Mapping[str, str] = obj["metadata"].get("labels") or {}
        return all(_holds(term, labels) for term in terms)

    return matches


def _holds(term: str, labels: Mapping[str, str]) -> bool:
    if "!=" in term:
        key, value = term.split("!=", 1)
        return labels.get(key) != value
    if "=" in term:
        key, value = term.replace("==", "=").split("=", 1)
        return labels.get(key) == value
    return term[1:] not in labels if term.startswith("!") else term in labels


class WatchLog:
    """All commits, by resource too; `oldest`: versions below it are compacted away for watches."""

    def __init__(self, first: int) -> None:
        self.version = first
        self.oldest = first
        self.all: list[Commit] = []
        self._by_resource: dict[ResourceType, list[Commit]] = {}

    def append(self, commit: Commit) -> None:
        self.version = commit.version
        self.all.append(commit)
        self._by_resource.setdefault(commit.resource, []).append(commit)

    def of(self, resource: ResourceType) -> list[Commit]:
        return self._by_resource.setdefault(resource, [])


class WatchStream:
    """One watch. `poll` gives the events that are there now; `wake` is called whenever there may be more."""

    def __init__(
        self,
        log: WatchLog,
        clock: SimulatedClock,
        resource: ResourceType,
        namespace: str,
        params: Mapping[str, Any],
        *,
        initial: list[Object],
    ) -> None:
        self._log = log
        self._clock = clock
        self._resource = resource
        self._namespace = namespace
        self._matches = parse_selector(str(params.get("labelSelector", "")))
        self._bookmarks = str(params.get("allowWatchBookmarks", "")).lower() == "true"
        seconds = float(params.get("timeoutSeconds") or 1800)
        self._deadline = clock.time() + seconds
        self._next_bookmark = self._bookmark_time()
        self._closed = False
        self._pending: list[Object] = [{"type": "ADDED", "object": obj} for obj in initial]
        asked = int(params.get("resourceVersion") or 0)
        version = log.version if initial or not asked else asked
        if version < log.oldest:
            self._fail(refusal_too_old(version, log.version))
        commits = log.of(resource)
        self._position = bisect_right(commits, version, key=lambda commit: commit.version)
        self.wake: Callable[[], None] = lambda: None

    def poll(self) -> list[Object]:
        """Events since the last call; an ERROR event is the last one."""
        events, self._pending = self._pending, []
        if self._closed:
            return events
        commits = self._log.of(self._resource)
        while self._position < len(commits):
            commit = commits[self._position]
            self._position += 1
            event = self._event(commit)
            if event is not None:
                events.append(event)
        now = self._clock.time()
        if self._bookmarks and now >= self._next_bookmark:
            self._next_bookmark = self._bookmark_time()
            version = {"resourceVersion": str(self._log.version)}
            events.append({"type": "BOOKMARK", "object": {"kind": self._resource.kind, "metadata": version}})
        self._closed = now >= self._deadline
        return events

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return (self._closed or self._clock.time() >= self._deadline) and not self._pending

    @property
    def next_word(self) -> float:
        """When the clock alone will bring something: a bookmark or the end."""
        return min(self._deadline, self._next_bookmark) if self._bookmarks else self._deadline

    def close(self, error: Object | None = None) -> None:
        """The server ends the stream, with an ERROR event if one is given."""
        if error is not None:
            self._fail(error)
        self._closed = True
        self.wake()

    def _fail(self, status: Object) -> None:
        self._pending = [{"type": "ERROR", "object": status}]
        self._closed = True

    def _bookmark_time(self) -> float:
        now, last = self._clock.time(), self._deadline - BOOKMARK_BEFORE_END_SECONDS
        return min(now + BOOKMARK_SECONDS, last) if now < last else float("inf")

    def _event(self, commit: Commit) -> Object | None:
        if self._namespace and commit.namespace != self._namespace:
            return None
        was = commit.previous is not None and self._matches(commit.previous)
        fits = commit.type != "DELETED" and self._matches(commit.object)
        if fits:
            return {"type": "MODIFIED" if was else "ADDED", "object": commit.object}
        if not was:
            return None
        last = commit.object if commit.type == "DELETED" else commit.previous
        assert last is not None, "what matched before was there before"
        moved = {**last, "metadata": {**last["metadata"], "resourceVersion": str(commit.version)}}
        return {"type": "DELETED", "object": moved}


def refusal_too_old(version: int, newest: int) -> Object:
    error = refusal(410, "Expired", f"too old resource version: {version} ({newest})")
    return {"kind": "Status", "code": error.status, "reason": error.reason, "message": error.message}
