"""`TokenBucket`: how often something may be done, for requests that strangers can cause. Used by token_review
and progress_server.
"""

from collections.abc import Callable

ROUNDING = 1e-9
"""So much of a token may be missing: one who came back as told would be told to come back in no time, for ever."""


class TokenBucket:
    """`rate` a second on average, `burst` at once. Never waits: who gets no token is told to come back."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    def take(self) -> bool:
        """Takes one token if there is one."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1 - ROUNDING:
            return False
        self._tokens -= 1
        return True

    def seconds_to_next(self) -> float:
        """After which time a token can be had, as far as it is known now."""
        return max(0.0, (1 - self._tokens) / self._rate)
