"""Objects as the API server sends them -> models. Total: what cannot be read becomes a job that says so."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from batch_operator.api import kueue, names, nesting
from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobSpec, BatchJobStatus
from batch_operator.api.v1alpha1.schema_types import ApiModel

MAX_REQUEST = 64


def decode_job(raw: Mapping[str, Any], known: BatchJob | None = None) -> BatchJob:
    """`known`: an earlier reading of the same object, whose spec is kept while the generation is the same
    (a spec of 10,000 inputs is dear to read, and status writes do not change it).

    A job that has ended is kept without its inputs and parameters, which nobody asks for until it is retried: 5 MiB
    each at 10,000 inputs.
    """
    meta = raw["metadata"]
    status, unreadable = _status(raw.get("status") or {})
    same = known is not None and (known.uid, known.generation) == (meta["uid"], meta["generation"])
    if known is not None and same and (status.has_ended or not known.trimmed):
        spec, problem, trimmed = known.spec, known.problem, known.trimmed
    else:
        (spec, problem), trimmed = _spec(raw.get("spec") or {}), False
        _share_field_sets(spec)
    if status.has_ended and not trimmed:
        spec, trimmed = spec.model_copy(update={"inputs": None, "parameters": None}), True
    annotations = meta.get("annotations") or {}
    _share_field_sets(status)
    job = BatchJob(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta["generation"],
        resource_version=meta["resourceVersion"],
        created_at=datetime.fromisoformat(meta["creationTimestamp"]),
        deleting="deletionTimestamp" in meta,
        spec=spec,
        status=status,
        retry_requested=_request(annotations.get(names.RETRY_ANNOTATION)),
        cancel_requested=_request(annotations.get(names.CANCEL_ANNOTATION)),
        kueue_queue=(meta.get("labels") or {}).get(kueue.QUEUE_LABEL, ""),
        tracked_by=_tracked_by(meta.get("labels") or {}, annotations),
        trimmed=trimmed,
        problem=problem,
        unreadable_status=unreadable,
    )
    _share_field_set(job)
    return job


_FIELD_SETS: dict[frozenset[str], set[str]] = {}


def _share_field_set(model: ApiModel) -> None:
    """Which fields were given, pydantic keeps in a set for each model, two fifths of what a job costs; those of ten
    thousand jobs are few. Copies of a model have sets of their own, and nothing else changes one."""
    given = model.model_fields_set
    object.__setattr__(model, "__pydantic_fields_set__", _FIELD_SETS.setdefault(frozenset(given), given))


def _share_field_sets(model: ApiModel) -> None:
    """Of the model and of all in it."""
    _share_field_set(model)
    for value in model.__dict__.values():
        if isinstance(value, ApiModel):
            _share_field_sets(value)
        elif isinstance(value, list | dict):
            _share_parts(value)


def _share_parts(value: list[object] | dict[str, object]) -> None:
    """Models are in lists, in dicts, in dicts of lists. Free-form values have none."""
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, ApiModel):
            _share_field_sets(item)
        elif isinstance(item, list) and isinstance(value, dict):
            _share_parts(item)


_TRACKERS = (
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("app.kubernetes.io/instance", "Argo CD or Helm"),  # Argo CD's mark before 3.0
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
)


def _tracked_by(labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    return next((tool for mark, tool in _TRACKERS if mark in labels or mark in annotations), "")


def _request(value: str | None) -> str:
    """An annotation's value stands in the status once it is answered, and may be 256 KiB long."""
    if value is None or len(value) <= MAX_REQUEST:
        return value or ""
    return hashlib.sha256(value.encode()).hexdigest()


def _spec(raw: Mapping[str, Any]) -> tuple[BatchJobSpec, str]:
    """(spec, what is wrong with it)."""
    held = raw.get("suspend") is True  # whatever else is wrong: a job that is held stays so
    nothing = BatchJobSpec(pipeline_type="batch", pipeline_key="unreadable", suspend=held or None)
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
