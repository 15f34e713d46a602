"""Effective priority: a job that was preempted again and again rises, so that it cannot be displaced for ever.

A step leads to the next priority that is in use in the queue, because the values of PriorityClasses say nothing but
their order. The rise counts for the place in line and against being displaced; the right to displace others comes
from the job's own priority alone, else two jobs could displace each other in turns.
"""

from bisect import bisect_left
from collections.abc import Iterable

PREEMPTIONS_PER_STEP = 2
MAX_STEPS = 3


def steps(preemptions: int) -> int:
    """By how many it rises."""
    return min(preemptions // PREEMPTIONS_PER_STEP, MAX_STEPS)


class Levels:
    """The priorities in use in one queue."""

    def __init__(self, priorities: Iterable[int]) -> None:
        self._in_use = sorted(set(priorities))

    def effective(self, priority: int, preemptions: int) -> int:
        risen = steps(preemptions)
        if not risen:
            return priority
        place = bisect_left(self._in_use, priority) + risen
        beyond = place - len(self._in_use) + 1
        return self._in_use[-1] + beyond if beyond > 0 else self._in_use[place]
