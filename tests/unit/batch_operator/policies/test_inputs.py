from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_operator.api.v1alpha1.batchjob import BatchJobSpec
from batch_operator.api.v1alpha1.pipeline import PipelineSpec
from batch_operator.policies.inputs import blocks, number
from tests.builders import files, make_pipeline_spec, make_spec


def scatter(name: str) -> dict[str, Any]:
    return {"name": name, "distribute": "scatter", "tracked": True}


def test_tracked_ports_are_numbered_by_name_then_in_list_order() -> None:
    pipeline = make_pipeline_spec(input_ports=[scatter("worker.b"), scatter("worker.a")])
    spec = make_spec(inputs={"worker.b": files(2), "worker.a": [{"file_id": "z.csv"}, {"file_id": "a.csv"}]})
    result = number(BatchJobSpec.model_validate(spec), PipelineSpec.model_validate(pipeline))
    assert [(entry["port"], entry["file_id"]) for entry in result.numbered] == [
        ("worker.a", "z.csv"),
        ("worker.a", "a.csv"),
        ("worker.b", "day_0.csv"),
        ("worker.b", "day_1.csv"),
    ]


def test_replicated_ports_go_to_every_pod_whole() -> None:
    result = number(BatchJobSpec.model_validate(make_spec()), PipelineSpec.model_validate(make_pipeline_spec()))
    assert [entry["metadata"]["class"] for entry in result.references["worker.n_shots"]] == ["normal", "fault"]


@given(st.integers(0, 300), st.integers(1, 64))
def test_blocks_are_contiguous_whole_and_even(count: int, parts: int) -> None:
    numbers = list(range(count))
    made = blocks(numbers, parts)
    assert [n for block in made for n in block] == numbers
    assert max(map(len, made)) - min(map(len, made)) <= 1


@pytest.mark.parametrize(
    ("numbers", "parts", "expected"),
    [
        pytest.param([0, 1, 2, 3, 4], 2, [(0, 1, 2), (3, 4)], id="the first are the larger"),
        pytest.param([2, 7, 9], 3, [(2,), (7,), (9,)], id="open inputs with gaps"),
        pytest.param([], 0, [], id="nothing to do"),
    ],
)
def test_blocks_by_example(numbers: list[int], parts: int, expected: list[tuple[int, ...]]) -> None:
    assert blocks(numbers, parts) == expected
