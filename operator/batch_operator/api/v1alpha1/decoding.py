"""Objects as the API server sends them -> models. Total: what cannot be read becomes a job that says so."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from batch_operator.api import nesting
from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobSpec, BatchJobStatus


def decode_job(raw: Mapping[str, Any], known: BatchJob | None = None) -> BatchJob:
    """`known`: an earlier reading of the same object, whose spec is kept while the generation is the same
    (a spec of 10,000 inputs is dear to read, and status writes do not change it).

    A job that has ended is kept without its inputs and parameters, which nobody asks for any more: 5 MiB each at
    10,000 inputs.
    """
    meta = raw["metadata"]
    status, unreadable = _status(raw.get("status") or {})
    if known is not None and (known.uid, known.generation) == (meta["uid"], meta["generation"]):
        spec, problem = known.spec, known.problem
    else:
        spec, problem = _spec(raw.get("spec") or {})
    if status.has_ended and (spec.inputs or spec.parameters):
        spec = spec.model_copy(update={"inputs": None, "parameters": None})
    return BatchJob(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta["generation"],
        resource_version=meta["resourceVersion"],
        created_at=datetime.fromisoformat(meta["creationTimestamp"]),
        deleting="deletionTimestamp" in meta,
        spec=spec,
        status=status,
        problem=problem,
        unreadable_status=unreadable,
    )


def _spec(raw: Mapping[str, Any]) -> tuple[BatchJobSpec, str]:
    """(spec, what is wrong with it)."""
    nothing = BatchJobSpec(pipeline_type="batch", pipeline_key="unreadable")
    if nesting.too_deep(raw):
        return nothing, f"spec.parameters: config nests deeper than {nesting.MAX_DEPTH} levels"
    try:
        return BatchJobSpec.model_validate(raw), ""
    except ValidationError as error:
        return nothing, f"spec.{_words(error)}"


def _status(raw: Mapping[str, Any]) -> tuple[BatchJobStatus, str]:
    try:
        return BatchJobStatus.model_validate(raw), ""
    except ValidationError as error:
        return BatchJobStatus(), f"status.{_words(error)}"


def _words(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
