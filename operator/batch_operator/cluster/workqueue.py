"""Keyed work queue with client-go's semantics for one asyncio loop. Handlers add keys, `run_workers`
reconciles them.

A key is worked on by one worker at a time; added while it is waiting it is coalesced, added while it is being
worked on it runs exactly once more. Nothing here is thread-safe and nothing needs to be.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar

import structlog

K = TypeVar("K", bound=Hashable)
REPLACED_AT_MOST = 100
"""Times that an earlier one of their key has replaced stay in the heap; beyond these and as many as count, they go."""

log = structlog.get_logger(__name__)


class QueueShutDown(Exception):
    """Raised by `get` once the queue was shut down."""


class Handle(Protocol):
    def cancel(self) -> None: ...


class Timers(Protocol):
    """What of the event loop the queue uses: its monotonic clock in seconds and call_at. Tests bring their
    own.
    """

    def time(self) -> float: ...
    def call_at(self, when: float, callback: Callable[[], object], /) -> Handle: ...


class WorkQueue(Generic[K]):
    """FIFO of distinct keys, the `urgent` ones first. Back-off per key: base * 2^failures seconds, at most `cap`, until
    `forget`."""

    def __init__(
        self,
        *,
        base_seconds: float = 0.05,
        cap_seconds: float = 60.0,
        timers: Timers | None = None,
        urgent: Callable[[K], bool] = lambda _: False,
    ) -> None:
        self._urgent = urgent
        self._base = base_seconds
        self._cap = cap_seconds
        self._timers: Timers = timers or asyncio.get_running_loop()
        self._ready: deque[K] = deque()
        self._available = asyncio.Semaphore(0)
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._failures: dict[K, int] = {}
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._timer: Handle | None = None
        self._stopped = False

    def __len__(self) -> int:
        """Depth: keys ready for a worker (not those being worked on, nor those that wait for their time)."""
        return len(self._ready)

    @property
    def scheduled(self) -> int:
        """Keys that `add_after` or a back-off will add later."""
        return len(self._due)

    @property
    def processing(self) -> int:
        """Keys in the hands of workers."""
        return len(self._processing)

    @property
    def is_shut_down(self) -> bool:
        return self._stopped

    def add(self, key: K, *, first: bool = False) -> None:
        """The key shall be worked on, as soon as possible; `first`: before all that wait. No effect after `shut_down`,
        nor on the place of a key that waits already."""
        if self._stopped or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._enqueue(key, first=first)

    def add_after(self, key: K, seconds: float) -> None:
        """`add` in so many seconds; of several such times of one key the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        when = self._timers.time() + seconds
        if self._stopped or self._due.get(key, when + 1) <= when:
            return
        self._due[key] = when
        heapq.heappush(self._heap, (when, next(self._order), key))
        if len(self._heap) > 2 * len(self._due) + REPLACED_AT_MOST:
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)
        self._arm()

    def add_with_backoff(self, key: K, at_least: float = 0.0) -> float:
        """`add_after` the key's next back-off (or `at_least` seconds, e.g. a Retry-After, if longer); returns
        the seconds.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        seconds = max(min(self._cap, self._base * 2.0 ** min(failures, 64)), at_least)
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: K) -> None:
        """The key's work succeeded, or it is gone: its next back-off starts from the base again."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often in a row the key has failed."""
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """The next key, to be given back with `done`. Raises QueueShutDown."""
        await self._available.acquire()
        if self._stopped:
            self._available.release()  # the next waiter shall learn it too
            raise QueueShutDown
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """The worker has finished with the key; if it was added meanwhile it is ready again now."""
        self._processing.discard(key)
        if key in self._dirty and not self._stopped:
            self._enqueue(key)

    def shut_down(self) -> None:
        """`get` raises from now on, also for those who wait in it. Keys not begun are dropped: a restart sees
        every object anew.
        """
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._ready.clear()
        self._due.clear()
        self._heap.clear()
        self._available.release()

    def _enqueue(self, key: K, *, first: bool = False) -> None:
        if first or self._urgent(key):
            self._ready.appendleft(key)
        else:
            self._ready.append(key)
        self._available.release()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = self._timers.call_at(self._heap[0][0], self._fire)

    def _fire(self) -> None:
        now = self._timers.time()
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == when:  # else an earlier time of the same key has replaced this one
                del self._due[key]
                self.add(key)
        self._timer = None
        self._arm()


async def run_workers(
    queue: WorkQueue[K],
    count: int,
    handler: Callable[[K], Awaitable[float | None]],
    on_error: Callable[[K, Exception], float | None] | None = None,
) -> None:
    """Runs `count` workers until the queue is shut down, and returns when the last handler has returned.
    Cancel to stop at once.

    `handler(key)` returns the seconds after which the key is due again, or None. If it raises, the key comes
    back after its back-off: no key is ever lost. `on_error` logs in the caller's words and may return a least
    delay (a Retry-After); the default logs the trace.
    """
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(_work(queue, handler, on_error), name=f"worker {number}")


async def _work(
    queue: WorkQueue[K],
    handler: Callable[[K], Awaitable[float | None]],
    on_error: Callable[[K, Exception], float | None] | None,
) -> None:
    while True:
        await asyncio.sleep(0)  # neither `get` nor a handler need ever wait: thousands of keys would stop the process
        try:
            key = await queue.get()
        except QueueShutDown:
            return
        try:
            again = await handler(key)
        except Exception as error:  # noqa: BLE001 - whatever it was: logged, and the key comes back
            queue.add_with_backoff(key, _least_delay(key, error, on_error))
        else:
            queue.forget(key)
            if again is not None:
                queue.add_after(key, again)
        finally:
            queue.done(key)


def _least_delay(key: K, error: Exception, on_error: Callable[[K, Exception], float | None] | None) -> float:
    if on_error is not None:
        try:
            return on_error(key, error) or 0.0
        except Exception:  # a broken error handler must not cost the key either
            log.exception("on_error failed", key=str(key))
    log.error("reconcile failed", key=str(key), exc_info=error)
    return 0.0
