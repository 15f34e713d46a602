"""Which writes only tell a waiting job's place or reason anew, how many of them come at once, and whether places are
right. Pure; used by load.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from batch_operator.scheduling.positions import step

Status = Mapping[str, Any]
_MOVING = {"queue_position", "queue_depth", "message", "updated_at", "conditions"}
_WAITING = ("PENDING", "PREEMPTED")


def is_move(before: Status, after: Status) -> bool:
    """Whether a job that waited before waits still, and nothing but what is said of that differs."""
    if before.get("status") not in _WAITING:
        return False
    different = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    return bool(different) and different <= _MOVING


def written_at(stored: Mapping[str, Any]) -> float:
    """When the newest status of a stored object was written, by the API server's own record: whole seconds since the
    epoch. A watch may show it much later where ten thousand objects come at once."""
    kept = stored["metadata"].get("managedFields") or ()
    times = [entry["time"] for entry in kept if entry.get("subresource") == "status"]
    return max(datetime.fromisoformat(time).timestamp() for time in times)


def most_a_second(moments: Iterable[float], seconds: float) -> float:
    """The greatest number of moments in any span of `seconds`, per second. The span is half open."""
    ordered = sorted(moments)
    most = first = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most / seconds


def wrong_places(waiting: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of waiting jobs of one namespace and priority, as stored: those whose place is not what their age says."""
    line = sorted(waiting, key=lambda job: (job["metadata"]["creationTimestamp"], job["metadata"]["uid"]))
    depth = step(len(line))
    wrong = []
    for place, job in enumerate(line, 1):
        status = job.get("status") or {}
        told = (status.get("queue_position"), status.get("queue_depth"))
        if told != (step(place), depth):
            wrong.append(f"{job['metadata']['name']}: told {told}, is {(step(place), depth)}")
    return wrong


def order_agreement(one: list[str], other: list[str]) -> float:
    """The part of all pairs, of those in both, that come in the same order in both."""
    places = {name: place for place, name in enumerate(other)}
    ranks = [places[name] for name in one if name in places]
    pairs = [(a, b) for at, a in enumerate(ranks) for b in ranks[at + 1 :]]
    return sum(a < b for a, b in pairs) / len(pairs) if pairs else 1.0
