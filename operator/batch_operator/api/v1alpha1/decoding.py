"""Objects as the API server sends them -> models. Total: what cannot be read becomes a job that says so."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobSpec, BatchJobStatus


def decode_job(raw: Mapping[str, Any], known: BatchJob | None = None) -> BatchJob:
    """`known`: an earlier reading of the same object, whose spec is kept while the generation is the same
    (a spec of 10,000 inputs is dear to read, and status writes do not change it)."""
    meta = raw["metadata"]
    problem = ""
    if known is not None and known.uid == meta["uid"] and known.generation == meta["generation"]:
        spec, problem = known.spec, known.problem
    else:
        try:
            spec = BatchJobSpec.model_validate(raw["spec"])
        except (ValidationError, KeyError) as error:
            spec, problem = BatchJobSpec(pipeline_type="batch", pipeline_key="unreadable"), _words(error)
    try:
        status = BatchJobStatus.model_validate(raw.get("status") or {})
    except ValidationError as error:
        status, problem = BatchJobStatus(), f"status: {_words(error)}"
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
    )


def _words(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"spec: {error} is missing"
    first = error.errors(include_url=False)[0]
    return f"spec.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
