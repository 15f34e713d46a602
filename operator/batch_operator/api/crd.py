"""The CustomResourceDefinitions, made from the pydantic models: ``python -m batch_operator.api.crd crds``.

Called by ``make generate`` (writes) and ``make verify`` (compares). No library makes structural schemas
from pydantic models (docs/adr/0003), so this walks the models' JSON Schema: references are inlined,
``Optional`` loses its null, a constant becomes an enum of one; whatever Kubernetes forbids raises.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from batch_operator.api import names
from batch_operator.api.v1alpha1.batch_queue import QueueObject
from batch_operator.api.v1alpha1.batchjob import BatchJobObject
from batch_operator.api.v1alpha1.pipeline import PipelineObject
from batch_operator.api.v1alpha1.schema_types import CRD_DEFAULT

Schema = dict[str, Any]

_DROPPED = frozenset({"title", "default", "additionalProperties", "$defs"})
_FORBIDDEN = frozenset({"oneOf", "allOf", "not", "prefixItems", "uniqueItems", "patternProperties", "const"})


@dataclass(frozen=True)
class Kind:
    """What a CRD says beside the schema."""

    name: str
    plural: str
    short: str
    scope: str
    model: type[BaseModel]
    columns: tuple[tuple[str, str, str, int], ...]
    """(name, type, jsonPath, priority): priority 1 shows with -o wide only."""
    selectable: tuple[str, ...] = ()
    has_status: bool = False


_REGISTRY_COLUMNS = (
    ("KEY", "string", ".spec.key", 0),
    ("VERSION", "string", ".spec.version", 0),
    ("TYPE", "string", ".spec.type", 0),
    ("STATUS", "string", ".spec.status", 0),
    ("AGE", "date", ".metadata.creationTimestamp", 0),
)

KINDS = (
    Kind(
        "BatchJob",
        "batchjobs",
        "bj",
        "Namespaced",
        BatchJobObject,
        (
            ("STATUS", "string", ".status.status", 0),
            ("QUEUE", "string", ".spec.queue", 0),
            ("POS", "integer", ".status.queue_position", 0),
            ("ADMISSION", "string", '.status.conditions[?(@.type=="Admitted")].reason', 0),
            ("PROGRESS", "string", ".status.progress", 0),
            ("RETRIES", "integer", ".status.retry_count", 0),
            ("AGE", "date", ".metadata.creationTimestamp", 0),
            ("PIPELINE", "string", ".status.pipeline_key", 1),
            ("VERSION", "string", ".status.pipeline_version", 1),
            ("PREEMPTIONS", "integer", ".status.preemption_count", 1),
            ("STARTED", "date", ".status.started_at", 1),
            ("FINISHED", "date", '.status.conditions[?(@.type=="Finished")].lastTransitionTime', 1),
            ("MESSAGE", "string", ".status.message", 1),
        ),
        selectable=(".status.status", ".spec.queue", ".spec.pipeline_key"),
        has_status=True,
    ),
    Kind("Pipeline", "pipelines", "pl", "Namespaced", PipelineObject, _REGISTRY_COLUMNS, (".spec.key",)),
    Kind(
        "ClusterPipeline",
        "clusterpipelines",
        "cpl",
        "Cluster",
        PipelineObject,
        _REGISTRY_COLUMNS,
        (".spec.key",),
    ),
    Kind(
        "Queue",
        "queues",
        "bq",
        "Cluster",
        QueueObject,
        (
            ("USAGE", "string", ".status.usage", 0),
            ("ADMITTED", "integer", ".status.admitted", 0),
            ("PENDING", "integer", ".status.pending", 0),
            ("READY", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
            ("REASON", "string", '.status.conditions[?(@.type=="Ready")].reason', 0),
            ("AGE", "date", ".metadata.creationTimestamp", 0),
            ("STRATEGY", "string", ".spec.strategy", 1),
            ("PREEMPTION", "string", ".spec.preemption", 1),
            ("STOP", "string", ".spec.stop", 1),
            ("NEXT", "string", ".status.next", 1),
        ),
        has_status=True,
    ),
)


def crd(kind: Kind) -> Schema:
    """The CustomResourceDefinition of one kind, as a plain object."""
    version: Schema = {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": object_schema(kind.model)},
        "additionalPrinterColumns": [
            {"name": name, "type": type_, "jsonPath": path, **({"priority": priority} if priority else {})}
            for name, type_, path, priority in kind.columns
        ],
        "selectableFields": [{"jsonPath": path} for path in kind.selectable],
    }
    if kind.has_status:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short],
                "categories": ["batch-operator"],
            },
            "scope": kind.scope,
            "versions": [version],
        },
    }


def object_schema(model: type[BaseModel]) -> Schema:
    """The structural schema of a whole object, apiVersion, kind and metadata included."""
    raw = model.model_json_schema(mode="validation")
    schema = structural(raw, raw.get("$defs", {}), model.__name__)
    plain = {"type": "string"}
    schema["properties"] = {"apiVersion": plain, "kind": plain, "metadata": {"type": "object"}} | schema["properties"]
    return schema


def structural(node: Schema, definitions: dict[str, Schema], path: str) -> Schema:
    """One node of a JSON Schema as Kubernetes takes it. Raises ValueError naming what it does not take."""
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[1]]
        node = target | {key: value for key, value in node.items() if key != "$ref"}
    if "anyOf" in node:
        node = _without_null(node, path)
        if "$ref" in node:
            return structural(node, definitions, path)
    if forbidden := _FORBIDDEN.intersection(node) - {"const"}:
        raise ValueError(f"{path}: {', '.join(sorted(forbidden))} has no place in a structural schema")
    result: Schema = {key: value for key, value in node.items() if key not in _DROPPED}
    if CRD_DEFAULT in result:
        result["default"] = result.pop(CRD_DEFAULT)
    if "const" in result:
        result["enum"] = [result.pop("const")]
    if "properties" in node:
        result["properties"] = {
            name: structural(child, definitions, f"{path}.{name}") for name, child in node["properties"].items()
        }
        undescribed = [name for name, child in result["properties"].items() if "description" not in child]
        if undescribed and path not in ("BatchJobObject", "PipelineObject", "QueueObject"):
            raise ValueError(f"{path}: no description of {', '.join(undescribed)}")
    elif isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = structural(node["additionalProperties"], definitions, f"{path}[*]")
    if "items" in node:
        result["items"] = structural(node["items"], definitions, f"{path}[]")
    return result


def _without_null(node: Schema, path: str) -> Schema:
    """``Optional[T]`` is anyOf [T, null]: absent already means null here."""
    options = [option for option in node["anyOf"] if option.get("type") != "null"]
    if len(options) != 1:
        raise ValueError(f"{path}: a union of types has no structural schema")
    merged: Schema = options[0] | {key: value for key, value in node.items() if key != "anyOf"}
    return merged


def render(kind: Kind) -> str:
    """The CRD's YAML, with a header that says where it comes from."""
    header = "# Generated from operator/batch_operator/api by `make generate`; edit the models, not this file.\n"
    return header + yaml.safe_dump(crd(kind), sort_keys=False, width=110, allow_unicode=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m batch_operator.api.crd", description="Write the CRDs' YAML files.")
    parser.add_argument("folder", type=Path, help="where the files go, one a kind")
    parser.add_argument("--quiet", action="store_true", help="do not list the files")
    chosen = parser.parse_args(arguments)
    folder: Path = chosen.folder
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        path = folder / f"{kind.plural}.yaml"
        path.write_text(render(kind), encoding="utf-8")
        if not chosen.quiet:
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
