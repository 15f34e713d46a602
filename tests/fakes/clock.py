"""Simulated time for everything in tests.fakes: it stands still until somebody moves it.

`SimulatedClock` serves as the work queue's Timers, as a monotonic clock and as the source of timestamps.
"""

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 4, 14, 10, 0, 0, tzinfo=UTC)


class Alarm:
    """A callback that is due; `cancel` makes it silent."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class SimulatedClock:
    """Seconds since START, and callbacks in the order of their times (equal times: in the order of asking)."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._alarms: list[tuple[float, int, Alarm]] = []

    def time(self) -> float:
        return self._now

    def moment(self) -> datetime:
        return START + timedelta(seconds=self._now)

    def now(self) -> datetime:
        """Whole seconds, as Kubernetes writes them."""
        return self.moment().replace(microsecond=0)

    def timestamp(self, after: float = 0.0) -> str:
        return (self.now() + timedelta(seconds=after)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def call_at(self, when: float, callback: Callable[[], object], /) -> Alarm:
        alarm = Alarm(callback)
        heapq.heappush(self._alarms, (max(when, self._now), next(self._order), alarm))
        return alarm

    def call_after(self, seconds: float, callback: Callable[[], object], /) -> Alarm:
        return self.call_at(self._now + seconds, callback)

    def next_alarm(self) -> float | None:
        """When the next callback is due."""
        while self._alarms and self._alarms[0][2].callback is None:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def advance_to(self, when: float) -> None:
        """Moves time, never back, and calls on the way what falls due."""
        while (due := self.next_alarm()) is not None and due <= when:
            _, _, alarm = heapq.heappop(self._alarms)
            self._now = max(self._now, due)
            callback, alarm.callback = alarm.callback, None
            if callback is not None:
                callback()
        self._now = max(self._now, when)

    def advance(self, seconds: float) -> None:
        self.advance_to(self._now + seconds)
