"""Which resources the fake API server serves, their paths, and the refusals in the real server's words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from batch_operator.api import names
from batch_operator.api.v1alpha1.batch_queue import DEFAULT_QUEUE
from batch_operator.cluster.errors import ApiError, error_from_status

Object = dict[str, Any]
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character"
)


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One row of the server's discovery. `immutable`: fields of spec that a CEL rule of ours freezes; `defaults`: what
    the schema fills in where spec has nothing.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    status: bool = False
    generation: bool = False
    made_by_update: bool = False
    required: tuple[str, ...] = ()
    immutable: tuple[str, ...] = ()
    defaults: tuple[tuple[str, str], ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


_FROZEN = ("name", "pipeline_type", "pipeline_key", "pipeline_version", "inputs", "parameters")
_OURS = (names.GROUP, names.VERSION)
BATCH_JOBS = ResourceType(
    *_OURS,
    "batchjobs",
    "BatchJob",
    status=True,
    generation=True,
    required=("pipeline_key", "pipeline_type"),
    immutable=_FROZEN,
    defaults=(("queue", DEFAULT_QUEUE),),
)
PIPELINES = ResourceType(*_OURS, "pipelines", "Pipeline", generation=True)
CLUSTER_PIPELINES = ResourceType(*_OURS, "clusterpipelines", "ClusterPipeline", namespaced=False, generation=True)
QUEUES = ResourceType(*_OURS, "queues", "Queue", namespaced=False, status=True, generation=True)
PODS = ResourceType("", "v1", "pods", "Pod", status=True, generation=True, required=("containers",))
CONFIG_MAPS = ResourceType("", "v1", "configmaps", "ConfigMap")
SECRETS = ResourceType("", "v1", "secrets", "Secret")
NAMESPACES = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False, status=True)
NODES = ResourceType("", "v1", "nodes", "Node", namespaced=False, status=True)
RESOURCE_QUOTAS = ResourceType("", "v1", "resourcequotas", "ResourceQuota", status=True)
DISRUPTION_BUDGETS = ResourceType(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", status=True, generation=True
)
EVENTS = ResourceType("events.k8s.io", "v1", "events", "Event")
PRIORITY_CLASSES = ResourceType("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False)
LEASES = ResourceType("coordination.k8s.io", "v1", "leases", "Lease", made_by_update=True)

SERVED = {
    (row.group, row.version, row.plural): row
    for row in (
        BATCH_JOBS,
        PIPELINES,
        CLUSTER_PIPELINES,
        QUEUES,
        PRIORITY_CLASSES,
        PODS,
        CONFIG_MAPS,
        SECRETS,
        NAMESPACES,
        NODES,
        RESOURCE_QUOTAS,
        DISRUPTION_BUDGETS,
        EVENTS,
        LEASES,
    )
}


@dataclass(frozen=True, slots=True)
class Address:
    """A path, read: `namespace` "" is all of them, `name` "" a collection."""

    resource: ResourceType
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def address(path: str) -> Address:
    """Raises NotFound for a path that the server does not serve."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    row = SERVED.get((group, version, rest[0]))
    if row is None or (rest[2:] == ["status"] and not row.status):
        raise refusal(404, "NotFound", "the server could not find the requested resource")
    return Address(row, namespace, *rest[1:3])


def refusal(code: int, reason: str, message: str, **details: Any) -> ApiError:
    return error_from_status({"kind": "Status", "code": code, "reason": reason, "message": message, "details": details})


def not_found(resource: ResourceType, name: str) -> ApiError:
    return refusal(404, "NotFound", f'{resource.qualified} "{name}" not found', name=name, kind=resource.plural)


def conflict(resource: ResourceType, name: str, why: str) -> ApiError:
    return refusal(409, "Conflict", f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}')


def modified(resource: ResourceType, name: str) -> ApiError:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def invalid(resource: ResourceType, name: str, field: str, why: str) -> ApiError:
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    causes = [{"field": field, "message": why}]
    return refusal(422, "Invalid", f'{kind} "{name}" is invalid: {field}: {why}', causes=causes)


def with_defaults(resource: ResourceType, obj: Object) -> Object:
    """As the server stores it."""
    spec = obj.get("spec") or {}
    missing = {field: value for field, value in resource.defaults if spec.get(field) is None}
    return {**obj, "spec": spec | missing} if missing else obj


def validate(resource: ResourceType, obj: Mapping[str, Any]) -> None:
    """The cheap part of what the real server checks of a whole object. Raises Invalid or ApiError 400."""
    name = obj["metadata"].get("name", "")
    if obj.get("kind", resource.kind) != resource.kind:
        raise refusal(400, "BadRequest", f"{obj['kind']} in the body is not {resource.kind} of the path")
    if not name:
        raise invalid(resource, "", "metadata.name", "Required value: name or generateName is required")
    if not _NAME.fullmatch(name):
        raise invalid(resource, name, "metadata.name", f'Invalid value: "{name}": {_NAME_RULE}')
    for field in resource.required:
        if not (obj.get("spec") or {}).get(field):
            raise invalid(resource, name, f"spec.{field}", "Required value")


def first_pod_status(pod: Mapping[str, Any], now: str) -> Object:
    """What the server says of a pod that it has just stored."""
    status: Object = {"phase": "Pending", "qosClass": "BestEffort"}
    if pod["spec"].get("schedulingGates"):
        words = "Scheduling is blocked due to non-empty scheduling gates"
        gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": words}
        status["conditions"] = [gated | {"lastTransitionTime": now}]
    return status


def validate_change(resource: ResourceType, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Raises Invalid where a frozen field has changed."""
    name = str(before["metadata"]["name"])
    old, new = before.get("spec") or {}, after.get("spec") or {}
    for field in resource.immutable:
        if old.get(field) != new.get(field):
            raise invalid(resource, name, "spec", f"Invalid value: {field} is immutable")
    if resource is CONFIG_MAPS and before.get("immutable"):
        for field in ("data", "binaryData"):
            if before.get(field) != after.get(field):
                raise invalid(resource, name, field, "Forbidden: field is immutable when `immutable` is set")
