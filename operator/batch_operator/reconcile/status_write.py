"""When a status is worth a write, and what is written. Called by reconcile.batchjob and cluster.apply."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobStatus, JobStatus
from batch_operator.api.v1alpha1.schema_types import rfc3339

_PROGRESS_FIELDS = ("input_progress", "progress", "message", "failures")
_PROGRESS_LEDGER = ("completed_inputs", "failed_inputs")


_WRITTEN: dict[int, tuple[BatchJobStatus, dict[str, Any]]] = {}
"""Of the statuses that were asked for last, by id(): a pass asks for each again when it writes."""
_REMEMBERED_AT_MOST = 64


def as_written(status: BatchJobStatus) -> Mapping[str, Any]:
    """The status as JSON: absent means the API's null."""
    known = _WRITTEN.get(id(status))
    if known is None or known[0] is not status:
        return _remembered(status, status.model_dump(mode="json", exclude_none=True))
    return known[1]


def _remembered(status: BatchJobStatus, written: dict[str, Any]) -> dict[str, Any]:
    """It stands beside what it was made of, which so cannot be another by then."""
    if len(_WRITTEN) >= _REMEMBERED_AT_MOST:
        _WRITTEN.clear()
    _WRITTEN[id(status)] = (status, written)
    return written


def forget() -> None:
    """What is remembered; it lies among what was let go meanwhile."""
    _WRITTEN.clear()


def due(
    job: BatchJob, wanted: BatchJobStatus, now: datetime, interval: timedelta
) -> tuple[BatchJobStatus | None, timedelta | None]:
    """(status to write or None, time until a held back write is due or None).

    Nothing is written that does not differ; ``updated_at`` never moves alone; mere progress waits until
    `interval` after the last write (design sections 1 and 5).
    """
    wanted = wanted.model_copy(update={"observedGeneration": job.generation, "updated_at": job.status.updated_at})
    if wanted == job.status:  # most passes; cheaper than to write both
        return None, None
    before, after = as_written(job.status), as_written(wanted)
    notes = _notes(after)
    if _without(before, *notes) == _without(after, *notes):
        return None, None
    last = job.status.updated_at
    if last is not None and _without_progress(before, notes) == _without_progress(after, notes):
        wait = last + interval - now
        if timedelta(0) < wait <= interval:  # longer: an operator with a clock ahead of ours wrote it
            return None, wait
    written = wanted.model_copy(update={"updated_at": now})
    _remembered(written, {**after, "updated_at": rfc3339(now)})
    return written, None


_Keys = tuple[Collection[str], Collection[str]]
"""Of the ledger, of its components."""


def _without_progress(status: Mapping[str, Any], notes: _Keys) -> dict[str, Any]:
    kept = {key: value for key, value in status.items() if key not in _PROGRESS_FIELDS}
    ledger_keys, component_keys = notes
    return _without(kept, {*_PROGRESS_LEDGER, *ledger_keys}, {"succeeded_indexes", *component_keys})


def _notes(after: Mapping[str, Any]) -> _Keys:
    """What is not worth a write of its own, and goes along with the next one: that a pod of a component without
    trouble was seen, and that the start timeout runs no more. Living pods tell the same. Of a job that runs, each pod
    is noted: all but late ones were there before the write that said so."""
    ledger = after.get("ledger", {})
    troubled = after.get("status") == JobStatus.RUNNING or any(
        "attempt" in known or "attempts" in known for known in ledger.get("components", {}).values()
    )
    return () if "starting_since" in ledger else ("starting_since",), () if troubled else ("observed_indexes",)


def _without(
    status: Mapping[str, Any], ledger_keys: Collection[str], component_keys: Collection[str]
) -> dict[str, Any]:
    ledger = {key: value for key, value in status.get("ledger", {}).items() if key not in ledger_keys}
    components = {
        name: {key: value for key, value in known.items() if key not in component_keys}
        for name, known in ledger.get("components", {}).items()
    }
    return {**status, "ledger": ledger | {"components": components}}
