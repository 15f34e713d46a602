"""What time it is for decisions: the wall clock when the process began, and how long that is ago.

So a step of the wall clock in a living process neither fires nor holds a timeout. Timers in status are absolute,
and go on after a restart. Used by handlers.reconciler.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from batch_operator.cluster.lead import boot_time


class SteadyClock:
    """Call it for the time in UTC, in whole seconds, as status holds them: what is compared must have one grain."""

    def __init__(self, wall: Callable[[], float] = time.time, uptime: Callable[[], float] = boot_time) -> None:
        self._began = datetime.fromtimestamp(wall(), UTC)
        self._began_at = uptime()
        self._uptime = uptime

    def __call__(self) -> datetime:
        return (self._began + timedelta(seconds=self._uptime() - self._began_at)).replace(microsecond=0)
