"""`SimulatedWatch`: one list and watch of a SimulatedOperator, pumped by hand, and all that can go wrong with it.

It stands in for the Reflector and for kopf's watches alike. One thing tells them apart: kopf ends the whole process on
an ERROR event other than 410 and on half a line.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.fakes.api_server import FakeAPIServer
from tests.fakes.faults import Crashed, Fault, Kind, Misfortunes
from tests.fakes.resource_types import Object
from tests.fakes.watch_log import WatchStream

LATE_SECONDS = 5.0
FROZEN_SECONDS = 60.0
SILENT_SECONDS = 75.0
STREAM_SECONDS = 240.0
REPEATED = 4
_BACK_AFTER = {Kind.WATCH_SILENT: SILENT_SECONDS, Kind.WATCH_BOOKMARKS: STREAM_SECONDS, Kind.WATCH_429: 1.0}
_ENDS_KOPF = (Kind.WATCH_500, Kind.WATCH_429, Kind.WATCH_HALF_LINE)
Sink = Callable[[str | None, Object], None]


class Process(Protocol):
    """The operator that watches: operator_process.SimulatedOperator."""

    server: FakeAPIServer
    misfortunes: Misfortunes
    frozen_until: float
    """Until then its watches lead to a server that lags behind."""
    lists_at: dict[str, int]
    """plural -> the version as of which its first list is; absent: the newest."""

    def crash(self, fault: Fault) -> None: ...


@dataclass
class SimulatedWatch:
    """`listed` takes a whole list, and `sink` each event."""

    process: Process
    path: str
    sink: Sink
    listed: Callable[[list[Object], str], None]
    params: Mapping[str, Any] = field(default_factory=dict)
    of_kopf: bool = False
    _version: str = ""
    _stream: WatchStream | None = None
    _held: list[Object] = field(default_factory=list)
    """Events that have come and are not told yet."""
    _held_until: float = 0.0
    _swapped: Object | None = None
    _told: list[Object] = field(default_factory=list)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def begin(self, version: str) -> None:
        """Its process has listed as of this version before it watches."""
        self._version = version

    def pump(self) -> bool:
        """Tells what has come; whether anything has."""
        server = self.process.server
        if not self._version:
            self._list()
        if server.clock.time() < max(self._held_until, self.process.frozen_until):
            return False
        if self._stream is None or self._stream.ended:
            self._stream = server.watch(self.path, {**self.params, "resourceVersion": self._version})
        self._held += self._stream.poll()
        heard = False
        while self._held and server.clock.time() >= max(self._held_until, self.process.frozen_until):
            if not self._take(self._held[0]):
                return True
            heard = True
        if self._swapped is not None and not self._held and server.clock.time() >= self._held_until:
            self._tell_swapped()
            return True
        return heard

    def _take(self, event: Object) -> bool:
        """False: the stream ended, or the event is held back."""
        if event["type"] == "ERROR":
            self._again("")
            return False
        fault = self.process.misfortunes.at_event()
        if fault is not None and not self._goes_on(fault, event):
            return False
        if self._held:  # else it waits for the one that comes first
            self.process.misfortunes.told()
            self._tell(self._held.pop(0), dropped=fault is not None and fault.kind is Kind.WATCH_DROPS)
            self._tell_swapped()
        return True

    def _goes_on(self, fault: Fault, event: Object) -> bool:
        """What becomes of the stream whose next event the fault falls on; False: it tells nothing for now."""
        kind = fault.kind
        if kind is Kind.WATCH_DROPS:
            return True
        if kind is Kind.WATCH_REPEATS:
            self._held[1:1] = [*self._told[1 - REPEATED :], event]
            return True
        if kind is Kind.WATCH_SWAPS:
            self._swapped = self._held.pop(0)
            self.process.misfortunes.told()
            if not self._held:
                self._hold(LATE_SECONDS)
            return bool(self._held)
        if kind is Kind.WATCH_LATE:
            self._hold(LATE_SECONDS)
        elif kind is Kind.WATCH_FROZEN:
            self.process.frozen_until = self._later(FROZEN_SECONDS)
        elif kind in _ENDS_KOPF and self.of_kopf:
            self.process.crash(fault)
            raise Crashed
        else:
            self._again("" if kind is Kind.WATCH_GONE else self._version)
            self._hold(_BACK_AFTER.get(kind, 0.0))
        return False

    def _tell(self, event: Object, *, dropped: bool = False) -> None:
        self._version = event["object"]["metadata"]["resourceVersion"]
        if event["type"] == "BOOKMARK" or dropped:
            return
        self._told = [*self._told[1 - REPEATED :], event]
        self.sink(event["type"], event["object"])

    def _tell_swapped(self) -> None:
        event, self._swapped = self._swapped, None
        if event is not None:
            self._tell(event)

    def _hold(self, seconds: float) -> None:
        self._held_until = self._later(seconds)

    def _later(self, seconds: float) -> float:
        """That time, at which the world is woken."""
        clock = self.process.server.clock
        clock.call_after(seconds, lambda: None)
        return clock.time() + seconds

    def _again(self, version: str) -> None:
        """The stream is lost: from this version on, or from a new list."""
        self._version = version
        self._stream = None
        self._held = []
        self._swapped = None

    def _list(self) -> None:
        server = self.process.server
        asked = self.process.lists_at.get(self.path.rsplit("/", 1)[-1])
        page = server.list_page(self.path, self.params, as_of=asked)
        self._version = page["metadata"]["resourceVersion"]
        self.listed(page["items"], self._version)
