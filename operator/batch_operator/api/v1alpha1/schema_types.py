"""The base of all models, and the field types that more than one kind uses.

The models serve twice: they parse what the API server sends, and api.crd makes the CRDs from them.
So each field has a description (``kubectl explain``), and what CEL can check stands beside the field.
"""

from datetime import UTC, datetime
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


FreeForm = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
"""An object of the user's own shape."""

Quantity = Annotated[
    int | str,
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN, "maxLength": 20}),
]
"""A Kubernetes quantity: 4Gi, 500m, or a plain number."""


def rfc3339(moment: datetime) -> str:
    """Whole seconds in UTC, as the API writes its timestamps."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]

ComponentName = Annotated[str, Field(pattern=COMPONENT_PATTERN)]


class Policy(ApiModel):
    """When a job with failed inputs fails, and how its pods are ended. Absent fields are inherited."""

    max_failed_inputs: int | None = Field(
        None,
        ge=-1,
        description="How many inputs may fail before the job counts as FAILED; judged when every input has "
        "ended. -1 is no limit. Default: the pipeline's retry_policy, else 0.",
    )
    fail_fast: bool | None = Field(
        None,
        description="Judge max_failed_inputs at once, not only when every input has ended. "
        "Default: the pipeline's retry_policy, else false.",
    )
    grace_seconds: int | None = Field(
        None,
        ge=0,
        le=3600,
        description="Seconds between SIGTERM and SIGKILL when a pod is stopped. "
        "Default: the pipeline's retry_policy, else 30.",
    )
