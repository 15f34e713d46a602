"""What must hold between a job's status before a write and after it. Used by invariants."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from batch_operator.api import ranges
from batch_operator.api.v1alpha1.batchjob import JobStatus
from batch_operator.reconcile.transitions import EDGES
from tests.fakes.resource_types import Object

TERMINAL = ("COMPLETED", "FAILED", "CANCELLED")
_ENDS = ("completed_at", "failed_at", "cancelled_at")
_AFTER_THE_END = ("handled_requests", "children_deleted_at")
"""Of the ledger: a refused request is answered, and children may go, when all else of a job stays as it is."""


def parsed(text: str) -> datetime:
    return datetime.fromisoformat(text)


def status_written(old: Object, job: Object) -> Iterator[str]:
    new = job.get("status") or {}
    if old == new:
        return
    before, after = old.get("status"), new.get("status")
    if before != after and (after is None or JobStatus(after) not in EDGES[JobStatus(before) if before else None]):
        yield f"status went from {before} to {after}"  # [I4]
    retried = before in ("FAILED", "CANCELLED") and after == "PENDING" and _retry(old) != _retry(new)
    if before in TERMINAL and not retried and _of_the_end(old) != _of_the_end(new):
        yield f"the status of a {before} job changed"  # [I3]
    if new.get("observedGeneration") != job["metadata"]["generation"]:
        yield f"observedGeneration is {new.get('observedGeneration')}"  # [I16]
    if {**old, "updated_at": ""} == {**new, "updated_at": ""}:
        yield "updated_at moved alone"
    yield from _requests(old, job)
    yield from _place(job)
    yield from _progress(old, new, retried=retried)
    yield from _times(old, new, retried=retried)


def _requests(old: Object, job: Object) -> Iterator[str]:
    """What is noted as handled was asked for."""
    annotations = job["metadata"].get("annotations") or {}
    handled = ((job.get("status") or {}).get("ledger") or {}).get("handled_requests") or {}
    for kind, value in handled.items():
        known = ((old.get("ledger") or {}).get("handled_requests") or {}).get(kind)
        if value != known and value != annotations.get(f"batch-operator.dev/{kind}-requested-at"):
            yield f"a request to {kind} was answered that nobody made"


def _place(job: Object) -> Iterator[str]:
    """Only a job that waits has a place in line, and it is within the line. [I11]"""
    status = job["status"]
    place, depth = status.get("queue_position"), status.get("queue_depth")
    if place is None and depth is None:
        return
    if status.get("status") not in ("PENDING", "PREEMPTED"):
        yield f"a {status.get('status')} job has place {place} of {depth} in its queue"
    elif place is None or depth is None or not 1 <= place <= depth:
        yield f"its place in the queue is {place} of {depth}"


def _progress(old: Object, new: Object, *, retried: bool) -> Iterator[str]:
    """[I7]"""
    then, now = old.get("ledger") or {}, new.get("ledger") or {}
    for name in ("completed_inputs", *(() if retried else ("failed_inputs",))):
        if lost := ranges.parse(then.get(name, "")) - ranges.parse(now.get(name, "")):
            yield f"{name} lost {ranges.format_ranges(lost)}"
    was, counts = old.get("input_progress"), new.get("input_progress")
    if was and counts and sum(was.values()) != sum(counts.values()):
        yield f"the counts' sum went from {sum(was.values())} to {sum(counts.values())}"
    if counts:
        sizes = {name: len(ranges.parse(now.get(f"{name}_inputs", ""))) for name in ("completed", "failed")}
        if any(counts[name] != size for name, size in sizes.items()) or min(counts.values()) < 0:
            yield f"the counts {counts} are not the ledger's {sizes}"


def _times(old: Object, new: Object, *, retried: bool) -> Iterator[str]:
    """[I6]"""
    for name in ("created_at", "started_at", *(() if retried else _ENDS)):
        if old.get(name) and old[name] != new.get(name):
            yield f"{name} changed"
    ended = [new[name] for name in _ENDS if new.get(name)]
    if len(ended) > 1:
        yield f"it ended more than once: {ended}"
    ordered = [new[name] for name in ("created_at", "started_at") if new.get(name)] + ended
    stamps = [parsed(text) for text in ordered]
    if stamps != sorted(stamps):
        yield f"times are out of order: {ordered}"
    if new.get("status") == "COMPLETED" and not new.get("started_at"):
        yield "a COMPLETED job has no started_at"
    if new.get("status") in TERMINAL and not ended:
        yield f"a {new['status']} job does not say when it ended"


def _of_the_end(status: Object) -> Any:
    ledger = {key: value for key, value in (status.get("ledger") or {}).items() if key not in _AFTER_THE_END}
    kept = {key: value for key, value in status.items() if key not in ("updated_at", "observedGeneration")}
    return kept | {"ledger": ledger}


def _retry(status: Object) -> str:
    return str(((status.get("ledger") or {}).get("handled_requests") or {}).get("retry", ""))
