"""What of the API server's objects anybody reads. cluster.json_reading skips all else, managed fields above all, which
are half of a pod, before Python objects are made of it; snapshot and api.v1alpha1.decoding make records of the rest.

A field that a decoder begins to read has to be named here too: tests hold both against each other.
"""

from collections.abc import Mapping
from typing import Any, TypedDict


class OwnerFields(TypedDict, total=False):
    apiVersion: str
    kind: str
    name: str
    uid: str
    controller: bool


class MetadataFields(TypedDict, total=False):
    name: str
    namespace: str
    uid: str
    resourceVersion: str
    generation: int
    creationTimestamp: str
    deletionTimestamp: str
    deletionGracePeriodSeconds: int
    labels: dict[str, str]
    annotations: dict[str, str]
    ownerReferences: list[OwnerFields]


class ConditionFields(TypedDict, total=False):
    type: str
    status: str
    reason: str
    message: str


class ResourcesFields(TypedDict, total=False):
    requests: dict[str, Any]


class ContainerFields(TypedDict, total=False):
    name: str
    resources: ResourcesFields


class GateFields(TypedDict, total=False):
    name: str


class PodSpecFields(TypedDict, total=False):
    nodeName: str
    containers: list[ContainerFields]
    schedulingGates: list[GateFields]


class RunningFields(TypedDict, total=False):
    startedAt: str | None


class EndedFields(TypedDict, total=False):
    startedAt: str | None
    finishedAt: str | None
    exitCode: int
    reason: str
    message: str


class WaitingFields(TypedDict, total=False):
    reason: str
    message: str


class StateFields(TypedDict, total=False):
    running: RunningFields
    terminated: EndedFields
    waiting: WaitingFields


class ContainerStatusFields(TypedDict, total=False):
    name: str
    state: StateFields


class PodStatusFields(TypedDict, total=False):
    phase: str
    reason: str
    message: str
    conditions: list[ConditionFields]
    containerStatuses: list[ContainerStatusFields]


class PodFields(TypedDict, total=False):
    """What snapshot.decode_pod reads; and `kind`, since a delete may be answered by a Status instead."""

    kind: str
    metadata: MetadataFields
    spec: PodSpecFields
    status: PodStatusFields


class TaintFields(TypedDict, total=False):
    key: str


class NodeSpecFields(TypedDict, total=False):
    unschedulable: bool
    taints: list[TaintFields]


class NodeStatusFields(TypedDict, total=False):
    conditions: list[ConditionFields]
    allocatable: dict[str, Any]


class NodeFields(TypedDict, total=False):
    """What snapshot.decode_node reads."""

    metadata: MetadataFields
    spec: NodeSpecFields
    status: NodeStatusFields


class CustomFields(TypedDict, total=False):
    """An object of one of our own kinds: the models say what they read of its spec and status."""

    metadata: MetadataFields
    spec: dict[str, Any]
    status: dict[str, Any]


READ_FIELDS: Mapping[str, type[Any]] = {
    "pods": PodFields,
    "nodes": NodeFields,
    "batchjobs": CustomFields,
    "pipelines": CustomFields,
    "clusterpipelines": CustomFields,
    "queues": CustomFields,
}
"""By resource; of others everything is read."""
