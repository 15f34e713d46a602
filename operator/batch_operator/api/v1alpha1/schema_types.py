"""The base of all models, and the field types that more than one kind uses.

The models serve twice: they parse what the API server sends, and api.crd makes the CRDs from them.
So each field has a description (``kubectl explain``), and what CEL can check stands beside the field.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

COMPONENT_PATTERN = "^[a-z]([-a-z0-9]{0,18}[a-z0-9])?$"
"""A DNS label of at most 20 characters: it is a part of every pod's name."""

SEMVER_PATTERN = (
    r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
)
KEY_PATTERN = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
QUANTITY_PATTERN = "^[0-9]+([.][0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"


CRD_DEFAULT = "x-crd-default"
"""Marks the one default of a field that goes into the CRD."""


class ApiModel(BaseModel):
    """Unknown fields are the API server's to prune; an object is never changed in place."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def cel(rule: str, message: str) -> dict[str, str]:
    """One entry of x-kubernetes-validations."""
    return {"rule": rule, "message": message}


def validations(*rules: dict[str, str], **extra: Any) -> dict[str, Any]:
    """``json_schema_extra`` with CEL rules and other schema keywords."""
    return {"x-kubernetes-validations": list(rules), **extra}


def immutable(field: str, remedy: str, *, unless: str = "") -> dict[str, str]:
    """A rule at the level of the object that holds the field: on the field itself, CEL would not run
    when an optional field is added or removed (design section 1)."""
    rule = f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
    return cel(f"{unless} || ({rule})" if unless else rule, f"{field} cannot be changed: {remedy}")


def crd_default(value: str) -> dict[str, Any]:
    """For json_schema_extra: the API server fills it in. Others of the models' defaults are the reader's alone."""
    return {CRD_DEFAULT: value}


FreeForm = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
"""An object of the user's own shape."""

Quantity = Annotated[
    int | str,
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN, "maxLength": 20}),
]
"""A Kubernetes quantity: 4Gi, 500m, or a plain number."""


@lru_cache(maxsize=4096)
def rfc3339(moment: datetime) -> str:
    """Whole seconds in UTC, as the API writes its timestamps."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]

ComponentName = Annotated[str, Field(pattern=COMPONENT_PATTERN)]


_PIPELINE_ELSE = "Default: the pipeline's retry_policy, else"
MOST_SECONDS = 31_536_000


def _limit(description: str, default: int) -> Any:
    """A number of which -1 is no limit."""
    return Field(None, ge=-1, le=MOST_SECONDS, description=f"{description} -1 is no limit. {_PIPELINE_ELSE} {default}.")


class Policy(ApiModel):
    """Retries, preemptions, timeouts, and when a job with failed inputs fails. Absent fields are inherited."""

    max_retries: int | None = _limit(
        "How often a failed pod is replaced, per index (restart_scope Index) or per job (restart_scope Job).", 3
    )
    backoff_seconds: int | None = Field(
        None,
        ge=0,
        le=86_400,
        description=f"Wait before the first retry; it doubles with each further one. {_PIPELINE_ELSE} 10.",
    )
    backoff_limit_seconds: int | None = Field(
        None, ge=0, le=86_400, description=f"The longest wait before a retry. {_PIPELINE_ELSE} 600."
    )
    max_preemptions: int | None = _limit(
        "How often pods may be preempted before the job counts as FAILED; 0 fails it at the first.", -1
    )
    max_failed_inputs: int | None = _limit(
        "How many inputs may fail before the job counts as FAILED; judged when every input has ended.", 0
    )
    fail_fast: bool | None = Field(
        None,
        description=f"Judge max_failed_inputs at once, not only when every input has ended. {_PIPELINE_ELSE} false.",
    )
    assign_timeout_seconds: int | None = _limit("How long the job may wait for its admission before it fails.", -1)
    start_timeout_seconds: int | None = _limit(
        "How long an admitted job may take to start before it goes back to the queue; after the third time it fails.",
        600,
    )
    run_timeout_seconds: int | None = _limit(
        "How long the job may run, over all attempts, before it fails; waiting and suspension do not count.", -1
    )
    grace_seconds: int | None = Field(
        None,
        ge=0,
        le=3600,
        description=f"Seconds between SIGTERM and SIGKILL when a pod is stopped. {_PIPELINE_ELSE} 30.",
    )
    ttl_seconds_after_finished: int | None = Field(
        None,
        ge=-1,
        le=MOST_SECONDS,
        description="How long the pods and the ConfigMap of a finished job are kept; its results are never touched. "
        f"-1 keeps them with the job. {_PIPELINE_ELSE} -1.",
    )
    ttl_deletes_job: bool | None = Field(
        None,
        description="ttl_seconds_after_finished deletes the BatchJob itself too, unless Argo CD or Flux tracks it. "
        f"{_PIPELINE_ELSE} false.",
    )
