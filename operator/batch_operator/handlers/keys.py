"""What the workqueue carries: a job, a queue, or a chore of the scheduler."""

from dataclasses import dataclass
from enum import Enum

JobKey = tuple[str, str]
"""(namespace, name) of a BatchJob."""


@dataclass(frozen=True, slots=True)
class QueueKey:
    """A Queue whose status may have to be written."""

    name: str


class Chore(Enum):
    """Work for all jobs at once."""

    SCHEDULE = "schedule"
    """Decide whose turn it is."""
    NOTE = "note"
    """Look again at the jobs whose pods have changed."""
    TELL = "tell"
    """Let waiting jobs say their new places, as many as may be told a second."""


Key = JobKey | QueueKey | Chore


def is_urgent(key: Key) -> bool:
    """What concerns all jobs does not wait behind ten thousand single ones."""
    return isinstance(key, QueueKey | Chore)
