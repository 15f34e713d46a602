import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batch_operator.api.v1alpha1.batchjob import BatchJobSpec
from batch_operator.api.v1alpha1.pipeline import PipelineSpec
from batch_operator.policies.parameters import merge_patch, resolve
from batch_operator.policies.verdict import InvalidRequest, Stalled
from tests.builders import make_pipeline_spec, make_spec

NESTED = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "reader": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"window": {"type": "integer", "minimum": 2}, "columns": {"type": "array"}},
        }
    },
}
DEFAULTS = {"reader": {"window": 64, "columns": ["a", "b"], "engine": "fast"}, "secret_flag": True}

ROOT = Path(__file__).parents[4]


def resolved(config: dict[str, Any] | None, schema: Any = NESTED) -> Any:
    pipeline = make_pipeline_spec(
        default_config={"worker": {"config": DEFAULTS}},
        user_config_schema={"worker": schema} if schema is not None else None,
    )
    spec = BatchJobSpec.model_validate(make_spec(parameters={"worker": {"config": config}} if config else None))
    return resolve(spec, PipelineSpec.model_validate(pipeline))


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        pytest.param({"a": "b"}, {"a": "c"}, {"a": "c"}, id="replace"),
        pytest.param({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}, id="add"),
        pytest.param({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}, id="null removes"),
        pytest.param({"a": ["b"]}, {"a": ["c", "d"]}, {"a": ["c", "d"]}, id="arrays replace"),
        pytest.param({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}, id="objects merge"),
        pytest.param({"e": None}, {"a": 1}, {"e": None, "a": 1}, id="a null in the target stays"),
        pytest.param([1, 2], {"a": "b", "c": None}, {"a": "b"}, id="an object over a list"),
        pytest.param({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}, id="nested null in a new object"),
    ],
)
def test_merge_patch_as_in_rfc_7396_appendix_a(target: Any, patch: Any, merged: Any) -> None:
    assert merge_patch(target, patch) == merged


def test_the_users_configuration_is_merged_onto_the_locked_default() -> None:
    config = resolved({"reader": {"window": 16, "columns": ["c"]}})["worker"]["config"]
    assert config == {"reader": {"window": 16, "columns": ["c"], "engine": "fast"}, "secret_flag": True}


def test_without_parameters_the_defaults_run() -> None:
    assert resolved(None) == {"worker": {"parallelism": 1, "config": DEFAULTS}}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        pytest.param({"secret_flag": False}, "parameters.worker.config.secret_flag: cannot be set", id="locked"),
        pytest.param(
            {"reader": {"engine": "slow"}}, "parameters.worker.config.reader.engine: cannot be set", id="locked below"
        ),
        pytest.param(
            {"reader": {"window": "x"}}, "parameters.worker.config.reader.window: 'x' is not of type", id="wrong type"
        ),
        pytest.param({"reader": {"window": 1}}, "config.reader.window: 1 is less than the minimum", id="below minimum"),
        pytest.param({"reader": 5}, "parameters.worker.config.reader: 5 is not of type", id="no object"),
    ],
)
def test_what_may_not_be_set_is_named(config: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        resolved(config)


def test_a_setting_that_is_none_is_told_from_a_locked_one() -> None:
    with pytest.raises(InvalidRequest, match="reader.windw: no such setting; there is columns, window"):
        resolved({"reader": {"windw": 16}})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param(
            {"parallelism": 9, "config": {}}, "default_config.worker.parallelism: 9 is above", id="parallelism"
        ),
        pytest.param({"config": {"reader": 5}}, "default_config.worker against user_config_schema", id="config"),
    ],
)
def test_wrong_defaults_are_not_the_users_fault(changes: dict[str, Any], words: str) -> None:
    pipeline = make_pipeline_spec(default_config={"worker": changes}, user_config_schema={"worker": NESTED})
    spec = BatchJobSpec.model_validate(make_spec(parameters=None))
    outcome = resolve(spec, PipelineSpec.model_validate(pipeline))
    assert isinstance(outcome, Stalled)
    assert words in outcome.message


def test_a_component_without_a_schema_is_locked_whole() -> None:
    with pytest.raises(InvalidRequest, match="lets nothing be set"):
        resolved({"reader": {}}, schema=None)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": 5}, id="no schema"),
        pytest.param({"$schema": 5}, id="no schema language"),
        pytest.param({"$ref": "#"}, id="a schema that is itself"),
        pytest.param({"$ref": "https://example.org/schema.json"}, id="a reference is never fetched"),
    ],
)
def test_a_broken_schema_stalls(schema: Any) -> None:
    assert isinstance(resolved({"reader": {}}, schema=schema), Stalled)


def test_a_schema_that_is_itself_does_not_end_a_process_that_allows_for_deep_objects() -> None:
    """In a process of its own: where it goes wrong, the stack overflows before Python can say RecursionError."""
    judged = subprocess.run(
        [sys.executable, "-c", _IN_AN_OPERATOR], capture_output=True, text=True, check=False, cwd=ROOT, timeout=30
    )
    assert (judged.returncode, "it refers to itself without end" in judged.stdout) == (0, True), judged.stderr[-500:]


_IN_AN_OPERATOR = """
import sys
from batch_operator.api.v1alpha1.pipeline import PipelineSpec
from batch_operator.main import RECURSION_LIMIT
from batch_operator.policies import parameters
from tests.builders import make_batchjob, make_pipeline_spec

sys.setrecursionlimit(RECURSION_LIMIT)
pipeline = make_pipeline_spec(user_config_schema={"worker": {"$ref": "#"}})
print(parameters.resolve(make_batchjob().spec, PipelineSpec.model_validate(pipeline)).message)
"""
