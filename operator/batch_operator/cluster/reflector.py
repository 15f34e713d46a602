"""`Reflector`: keeps a `RecordStore` true by list and watch, for as long as the operator lives. One per
resource type, run as a task.

Contract (reference: client-go's reflector): list in pages, replace, watch from the list's version; resume
where the stream ended; list again only on 410; any other trouble waits with back-off and resumes. The version
moves only after its event was applied.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Generic, Protocol, TypeVar

import structlog

from batch_operator.cluster.client import WATCH_INACTIVITY_SECONDS, Listing, Object, Params
from batch_operator.cluster.errors import ApiError, Gone
from batch_operator.cluster.resource_paths import resource_of
from batch_operator.cluster.store import Record, RecordStore

R = TypeVar("R", bound=Record)
T = TypeVar("T")

STALE_SECONDS = 2 * WATCH_INACTIVITY_SECONDS
_WATCH_SECONDS = (240, 300)
_BACKOFF_BASE, _BACKOFF_CAP = 0.5, 30.0
_SHORT_STREAM_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Source(Protocol):
    """What of the `Client` a reflector needs."""

    async def list_as(self, path: str, decode: Callable[[Object], T], params: Params | None = None) -> Listing[T]: ...
    def watch(
        self, path: str, params: Params | None = None, *, inactivity_seconds: float = ...
    ) -> AsyncGenerator[Object, None]: ...


class Reflector(Generic[R]):
    """`synced` is set after the first list; `last_activity` is the monotonic time of the last word from the
    server.
    """

    def __init__(
        self,
        client: Source,
        path: str,
        decode: Callable[[Mapping[str, Any]], R],
        store: RecordStore[R],
        *,
        params: Params | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._path = path
        self._decode = decode
        self._store = store
        self._params: Params = params or {}
        self._clock = clock
        self._sleep = sleep
        self._version = ""
        self._failures = 0
        self.resource = resource_of(path)
        self.synced = asyncio.Event()
        self.last_activity = clock()
        self.last_error = ""
        self.relists = 0

    def trouble(self) -> str | None:
        """One sentence if the watch does not live, for /healthz and /readyz; None if it does."""
        silent = self._clock() - self.last_activity
        cause = f"; last error: {self.last_error}" if self.last_error else ""
        if not self.synced.is_set():
            return f"{self.resource}: not listed yet{cause}"
        if silent > STALE_SECONDS:
            return f"{self.resource}: no word from the API server for {silent:.0f} s{cause}"
        return None

    async def run(self) -> None:
        """Lists and watches until cancelled."""
        while True:
            delay = 0.0
            try:
                if not self._version:
                    await self._list()
                delay = await self._watch()
            except Gone as error:
                self._version = ""
                if self._failures:  # a fresh list at once, but no storm of them
                    delay = self._backoff(0.0)
                self._failures += 1
                log.info("watch expired, listing again", resource=self.resource, words=str(error))
            except ApiError as error:
                self._failures += 1
                delay = self._backoff(error.retry_after or 0.0)
                self.last_error = str(error)
                log.warning(
                    "watch interrupted",
                    resource=self.resource,
                    words=str(error),
                    retry_seconds=round(delay, 1),
                )
            except Exception as error:
                self._version = ""
                self._failures += 1
                delay = self._backoff(0.0)
                self.last_error = repr(error)
                log.exception("watch failed, listing again", resource=self.resource, retry_seconds=round(delay, 1))
            if delay > 0:
                await self._sleep(delay)

    async def _list(self) -> None:
        undecoded: set[str] = set()
        listing = await self._client.list_as(self._path, lambda raw: self._decoded(raw, undecoded), self._params)
        records = [record for record in listing.items if record is not None]
        self._store.replace(records, listing.resource_version, present=undecoded)
        self._version = listing.resource_version
        self._alive()
        self.relists += 1
        log.info("listed", resource=self.resource, objects=len(records), version=self._version)
        self.synced.set()

    async def _watch(self) -> float:
        """One stream to its end; returns the seconds to wait before the next one."""
        params = {
            **self._params,
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": random.randint(*_WATCH_SECONDS),
        }
        began = self._clock()
        events = 0
        stream = self._client.watch(self._path, params, inactivity_seconds=WATCH_INACTIVITY_SECONDS)
        async with aclosing(stream) as stream:
            async for event in stream:
                events += 1
                self._apply(event)
                self._failures = 0
                self._alive()
        if events or self._clock() - began >= _SHORT_STREAM_SECONDS:
            self._failures = 0
            return 0.0
        self._failures += 1  # a server that ends every stream at once is not to be asked in a tight loop
        return self._backoff(0.0)

    def _apply(self, event: Object) -> None:
        raw = event.get("object") or {}
        version = str((raw.get("metadata") or {}).get("resourceVersion") or "")
        if event.get("type") == "BOOKMARK":
            self._store.advance(version)
        else:
            record = self._decoded(raw, set())
            if record is not None:
                self._store.apply(str(event.get("type")), record)
            else:
                self._store.advance(version)
        self._version = version or self._version

    def _decoded(self, raw: Mapping[str, Any], undecoded: set[str]) -> R | None:
        """None for an object that our decoder cannot read: logged, and whatever the store has of it stays."""
        try:
            return self._decode(raw)
        except Exception:
            meta = raw.get("metadata") or {}
            undecoded.add(str(meta.get("uid")))
            log.exception(
                "unreadable object",
                resource=self.resource,
                name=meta.get("name"),
                namespace=meta.get("namespace"),
            )
            return None

    def _alive(self) -> None:
        self.last_activity = self._clock()
        self.last_error = ""

    def _backoff(self, at_least: float) -> float:
        seconds = min(_BACKOFF_CAP, _BACKOFF_BASE * 2.0 ** min(self._failures - 1, 16))
        return max(seconds * random.uniform(0.8, 1.2), at_least)
