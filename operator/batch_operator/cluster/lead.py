"""`Lead`: whether this process may write, by its own clock alone. `election` renews it, `client` asks it before each
write.

The clock is CLOCK_BOOTTIME: monotonic, so that no step of the wall clock moves it, and, unlike CLOCK_MONOTONIC, it
counts the time that a machine was suspended; a stopped or frozen process counts in both (docs/adr/0007).
"""

import time
from collections.abc import Callable

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux has it; elsewhere (a developer's macOS) CLOCK_MONOTONIC does not stop in a suspended machine either."""


def boot_time() -> float:
    """Seconds that only ever grow, those of a suspended machine included."""
    return time.clock_gettime(_CLOCK)


class NotLeading(Exception):
    """This process does not hold the lead, or not any more: it writes nothing, and ends. str() says why."""


class Lead:
    """Lasts for `renew_deadline` seconds from the moment at which the last renewal that went well was *sent*: what the
    others count from came later. Once lost it stays lost: what this process believes is out of date.
    """

    def __init__(self, renew_deadline: float, clock: Callable[[], float] = boot_time) -> None:
        self._renew_deadline = renew_deadline
        self._clock = clock
        self._until: float | None = None
        self._lost = ""

    @property
    def taken(self) -> bool:
        """Whether this process has ever led."""
        return self._until is not None

    @property
    def held(self) -> bool:
        return not self._lost and self._until is not None and self._clock() < self._until

    def check(self) -> float:
        """-> seconds for which it is sure to last. Raises NotLeading."""
        if self._lost:
            raise NotLeading(self._lost)
        if self._until is None:
            raise NotLeading("the lead has not been taken yet")
        left = self._until - self._clock()
        if left <= 0:
            past = self._renew_deadline - left
            self.lose(f"the lead was last renewed {past:.0f} s ago, its deadline is {self._renew_deadline:g} s")
            raise NotLeading(self._lost)
        return left

    def renewed(self, sent: float) -> None:
        """A renewal went well that was sent at this time."""
        if not self._lost:
            self._until = sent + self._renew_deadline

    def lose(self, why: str) -> None:
        self._lost = self._lost or why
