"""The parameters that run: the user's merged onto the pipeline's defaults, and judged by its schema.

What the pipeline's user_config_schema does not name is locked to the default (design section 1).
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import jsonschema
import orjson
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from batch_operator.api.v1alpha1.batchjob import BatchJobSpec, ComponentParameters
from batch_operator.api.v1alpha1.conditions import Reason
from batch_operator.api.v1alpha1.pipeline import PipelineSpec
from batch_operator.policies.verdict import InvalidRequest, Stalled

MAX_BYTES = 256 * 1024
"""They stand in status beside the spec, and etcd takes 1.5 MiB in all."""
RECURSION_LIMIT = 1_500
_SEE_SCHEMA = "See the pipeline's user_config_schema for what may be set."


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396: objects merge, null removes, everything else (arrays too) replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def resolve(spec: BatchJobSpec, pipeline: PipelineSpec) -> dict[str, Any] | Stalled:
    """-> component -> {parallelism, config} of every component of the pipeline.

    Raises InvalidRequest naming the path; Stalled is for a schema that is none: the job's owner cannot help it.
    """
    given = spec.parameters or {}
    for component in given:
        if component not in pipeline.components:
            raise InvalidRequest(
                f"parameters.{component}: pipeline '{pipeline.key}' {pipeline.version} has no such component",
                f"Its components are: {', '.join(sorted(pipeline.components))}.",
            )
    resolved: dict[str, Any] = {}
    for component in pipeline.components:
        outcome = _component(component, given.get(component) or ComponentParameters(), pipeline)
        if isinstance(outcome, Stalled):
            return outcome
        resolved[component] = outcome
    if (size := len(orjson.dumps(resolved))) > MAX_BYTES:
        raise InvalidRequest(
            f"parameters: {size} bytes once merged onto the pipeline's defaults, at most {MAX_BYTES} are possible",
            "Put large tables into input files.",
        )
    return resolved


def _component(name: str, given: ComponentParameters, pipeline: PipelineSpec) -> dict[str, Any] | Stalled:
    defaults = (pipeline.default_config or {}).get(name)
    parallelism = given.parallelism or (defaults.parallelism if defaults else None) or 1
    limit = pipeline.components[name].max_parallelism
    if limit is not None and parallelism > limit and given.parallelism is None:
        return _invalid(pipeline, f"default_config.{name}.parallelism: {parallelism} is above max_parallelism, {limit}")
    if limit is not None and parallelism > limit:
        raise InvalidRequest(
            f"parameters.{name}.parallelism: {parallelism} is above the pipeline's limit of {limit}",
            f"Ask for at most {limit}.",
        )
    default_config = (defaults.config if defaults else None) or {}
    user_config = given.config or {}
    config = merge_patch(default_config, user_config)
    path = f"parameters.{name}.config"
    schema = (pipeline.user_config_schema or {}).get(name)
    if schema is None:
        if user_config:
            locked = f"{path}.{min(user_config)}"
            raise InvalidRequest(f"{locked}: the pipeline lets nothing be set here", f"Leave {path} out.")
    else:
        _refuse_locked(user_config, default_config, schema, path)
        try:
            broken = _validate(_visible(config, schema), schema, path)
        except InvalidRequest as refused:
            if user_config:
                raise
            return _invalid(pipeline, f"default_config.{name} against user_config_schema.{name}: {refused.message}")
        if broken:
            return _invalid(pipeline, f"user_config_schema.{name}: {broken}")
    return {"parallelism": parallelism, "config": config}


def _invalid(pipeline: PipelineSpec, what: str) -> Stalled:
    """Not the user's fault: the job waits for a better version."""
    return Stalled(
        Reason.INVALID_PIPELINE,
        f"pipeline '{pipeline.key}' {pipeline.version}: {what}",
        "The pipeline's owner must publish a version that is valid.",
    )


def _refuse_locked(config: Mapping[str, Any], defaults: Any, schema: Mapping[str, Any], path: str) -> None:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or schema.get("additionalProperties"):
        return
    for key, value in config.items():
        default = defaults.get(key) if isinstance(defaults, Mapping) else None
        if key not in properties and default is not None:
            raise InvalidRequest(f"{path}.{key}: cannot be set; the pipeline locks it to its default", _SEE_SCHEMA)
        if key not in properties:
            raise InvalidRequest(
                f"{path}.{key}: no such setting; there is {', '.join(sorted(properties)) or 'none'}", _SEE_SCHEMA
            )
        if isinstance(value, Mapping) and isinstance(properties[key], Mapping):
            _refuse_locked(value, default, properties[key], f"{path}.{key}")


def _visible(config: Any, schema: Any) -> Any:
    """The merged configuration less the locked defaults, which the user's schema does not know."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(properties, Mapping) or schema.get("additionalProperties"):
        return config
    return {key: _visible(value, properties[key]) for key, value in config.items() if key in properties}


@contextmanager
def _bounded_recursion() -> Iterator[None]:
    """The process allows for objects that nest 10,000 levels deep (main); a schema that refers to itself would use all
    of that, and more than the stack has, before Python could say RecursionError."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(min(before, RECURSION_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@lru_cache(maxsize=256)
def _checked(schema: str) -> type[jsonschema.protocols.Validator]:
    """The validator of a schema that is one itself. Raises SchemaError. Every job of a pipeline brings the same."""
    content = json.loads(schema)
    validator_class = jsonschema.validators.validator_for(content, default=jsonschema.Draft202012Validator)
    validator_class.check_schema(content)
    return validator_class


def _validate(config: Any, schema: Mapping[str, Any], path: str) -> str | None:
    """What is wrong with the schema itself, or None. Raises InvalidRequest for the configuration."""
    if not isinstance(schema.get("$schema", ""), str):
        return "$schema must be a text"
    try:
        with _bounded_recursion():
            validator_class = _checked(json.dumps(schema))
            # an empty registry: a $ref to another document is never fetched
            error = best_match(validator_class(schema, registry=Registry()).iter_errors(config))
    except SchemaError as problem:
        return problem.message
    except Unresolvable as problem:
        return f"unresolvable reference: {problem}"
    except RecursionError:
        return "it refers to itself without end"
    if error is None:
        return None
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    raise InvalidRequest(f"{path}{where}: {error.message}", _SEE_SCHEMA)
