"""The API server's own history of a plan: every commit on what is its own, as a watch tells it.

`Recorder` watches the whole cluster, once for all lanes; `commits` and `sent` put what it saw, and what the proxy let
through, into the records that the oracle (tests/unit/faults/invariants.py) judges. Used by lane.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from batch_operator.cluster.client import Client
from batch_operator.cluster.errors import ApiError, Gone, TooManyRequests
from batch_operator.cluster.resource_paths import BATCH_JOBS, CONFIG_MAPS, PODS, QUEUES
from tests.fakes import resource_types as kinds
from tests.fakes.client import Request, Sent
from tests.fakes.clock import START
from tests.fakes.watch_log import Commit
from tests.faults.proxy import Written

Object = dict[str, Any]
Change = Literal["ADDED", "MODIFIED", "DELETED"]
_WATCHED = (
    (BATCH_JOBS, kinds.BATCH_JOBS),
    (PODS, kinds.PODS),
    (CONFIG_MAPS, kinds.CONFIG_MAPS),
    (QUEUES, kinds.QUEUES),
)
RETRY_SECONDS = 0.2
OPERATOR, OTHERS = "operator-1", "others"


@dataclass(frozen=True, slots=True)
class Seen:
    """One watch event; `at`: monotonic seconds at which it came."""

    version: int
    at: float
    type: Change
    resource: kinds.ResourceType
    object: Object


@dataclass(slots=True)
class NamespaceHistory:
    """What happened in one namespace after version `since`; `present`: the objects that are there now, by uid."""

    since: int = 0
    seen: list[Seen] = field(default_factory=list)
    present: dict[str, Seen] = field(default_factory=dict)
    listener: Callable[[Seen], None] = lambda _: None

    def begin(self, since: int) -> None:
        self.since = since
        self.seen = []
        self.present = {}

    def of(self, resource: kinds.ResourceType) -> list[Object]:
        return [seen.object for seen in self.present.values() if seen.resource is resource]

    def note(self, seen: Seen) -> None:
        uid = seen.object["metadata"]["uid"]
        if seen.version <= self.since:
            return
        self.seen.append(seen)
        if seen.type == "DELETED":
            self.present.pop(uid, None)
        else:
            self.present[uid] = seen
        self.listener(seen)


class Recorder:
    """Use it as `async with`; from then on nothing that happens in the namespaces of `of` is missed."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._namespaces: dict[str, NamespaceHistory] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for watched, resource in _WATCHED:
            start = await self._start(watched.path())
            self._tasks.append(asyncio.create_task(self._watch(watched.path(), resource, start)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def of(self, namespace: str) -> NamespaceHistory:
        return self._namespaces.setdefault(namespace, NamespaceHistory())

    def check(self) -> None:
        """Raises what has ended a watch: a history with a hole proves nothing."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _start(self, path: str) -> str:
        """Where the history begins; an API server whose CRDs have just changed answers 429 for a while."""
        while True:
            try:
                return (await self._client.list_identities(path)).resource_version
            except TooManyRequests:
                await asyncio.sleep(RETRY_SECONDS)

    async def _watch(self, path: str, resource: kinds.ResourceType, version: str) -> None:
        while True:
            params = {"resourceVersion": version, "allowWatchBookmarks": "true"}
            try:
                async with contextlib.aclosing(self._client.watch(path, params)) as stream:
                    async for event in stream:
                        version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            self._note(event, resource, int(version))
            except Gone:
                raise
            except ApiError:
                await asyncio.sleep(RETRY_SECONDS)

    def _note(self, event: Object, resource: kinds.ResourceType, version: int) -> None:
        meta = event["object"]["metadata"]
        namespace = meta["name" if resource is kinds.QUEUES else "namespace"]  # a lane's Queue has its name
        if namespace in self._namespaces:
            seen = Seen(version, time.monotonic(), event["type"], resource, event["object"])
            self._namespaces[namespace].note(seen)


def second(monotonic: float) -> float:
    """As the oracle counts them: from the fake clock's first moment, so that times in objects can be compared."""
    return time.time() - START.timestamp() - (time.monotonic() - monotonic)


def commits(history: Iterable[Seen], writes: Iterable[Written]) -> list[Commit]:
    """In the order of the API server's own versions, which is one order over all resources."""
    by_operator = {write.version for write in writes if write.version}
    ended = {uid for write in writes if write.verb == "delete" and (uid := _uid_of(write))}
    latest: dict[str, Object] = {}
    made = []
    for seen in sorted(history, key=lambda seen: seen.version):
        meta = seen.object["metadata"]
        ours = seen.version in by_operator or (
            seen.type == "DELETED" and meta["uid"] in ended and _at_once(latest, meta)
        )
        previous = latest.get(meta["uid"])
        made.append(
            Commit(
                version=seen.version,
                at=second(seen.at),
                actor=OPERATOR if ours else OTHERS,
                type=seen.type,
                resource=seen.resource,
                namespace=meta.get("namespace", ""),
                name=meta["name"],
                object=seen.object,
                previous=previous,
            )
        )
        latest[meta["uid"]] = seen.object
    return made


def sent(writes: Iterable[Written]) -> list[Sent]:
    """The writes that reached the API server."""
    return [_sent(write) for write in writes if write.answer is not None]


def _sent(write: Written) -> Sent:
    assert write.answer is not None, "only of those that were answered"
    preconditions = write.body.get("preconditions") or {}
    request = Request(OPERATOR, write.verb, write.path, write.body, preconditions.get("uid"))  # type: ignore[arg-type]
    error = str(write.answer.object.get("reason") or write.answer.code) if write.answer.code >= 400 else ""
    base = (write.body.get("metadata") or {}).get("resourceVersion")
    unchanged = bool(error) or (write.verb == "patch" and base == str(write.version))
    return Sent(request, second(write.at), write.version, not unchanged, error)


def _uid_of(write: Written) -> str:
    applied = write.answer is not None and write.answer.code < 300
    return str((write.body.get("preconditions") or {}).get("uid") or "") if applied else ""


def _at_once(latest: dict[str, Object], meta: Object) -> bool:
    """A pod without a grace period goes with the DELETE itself; else somebody else removes it later."""
    return "deletionTimestamp" not in (latest.get(meta["uid"]) or {"metadata": {}})["metadata"]
