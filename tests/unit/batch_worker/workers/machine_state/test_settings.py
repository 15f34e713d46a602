from typing import Any

import pytest

from batch_worker.errors import InvalidConfig
from batch_worker.workers.machine_state import settings

API_DOCUMENT = {
    "model_type": "omega_1_4_base",
    "batch_size": 32,
    "reader_config": {
        "data_columns": ["xmeas_1", "xmeas_2", "xmv_11"],
        "timestamp_column": "timestamp",
        "window_size": 64,
        "step_size": 1,
    },
    "classifier_config": {"n_neighbors": 5, "metric": "euclidean", "weights": "uniform", "normalize_embeddings": False},
    "flush_every_n_iteration": 150,
}


def test_the_api_documents_config_is_taken_as_it_is() -> None:
    chosen = settings.parse(API_DOCUMENT, "worker")
    assert chosen.data_columns == ("xmeas_1", "xmeas_2", "xmv_11")
    assert chosen.windows_a_part == 4800


def test_an_empty_config_is_all_defaults() -> None:
    chosen = settings.parse({}, "worker")
    assert (chosen.window_size, chosen.n_neighbors, chosen.model_type, chosen.data_columns) == (64, 5, "rocket_1", None)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"flush_every_n_iteration": 1.5}, "flush_every_n_iteration"),
        ({"model_type": ""}, "model_type"),
        ({"model": "x"}, "model"),
        ({"reader_config": []}, "reader_config"),
        ({"reader_config": {"window_size": "64"}}, "reader_config.window_size"),
        ({"reader_config": {"window_size": 3}}, "reader_config.window_size"),
        ({"reader_config": {"step_size": 0}}, "reader_config.step_size"),
        ({"reader_config": {"data_columns": []}}, "reader_config.data_columns"),
        ({"reader_config": {"data_columns": ["a", "a"]}}, "reader_config.data_columns"),
        ({"reader_config": {"data_columns": ["timestamp"]}}, "reader_config.data_columns"),
        ({"reader_config": {"timestamp_column": 1}}, "reader_config.timestamp_column"),
        ({"classifier_config": {"n_neighbors": 0}}, "classifier_config.n_neighbors"),
        ({"classifier_config": {"metric": "hamming"}}, "classifier_config.metric"),
        ({"classifier_config": {"weights": "none"}}, "classifier_config.weights"),
        ({"classifier_config": {"normalize_embeddings": "no"}}, "classifier_config.normalize_embeddings"),
        ({"classifier_config": {"p": 2}}, "classifier_config.p"),
    ],
)
def test_a_bad_setting_is_refused_by_its_path(config: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        settings.parse(config, "worker")
    assert caught.value.message.startswith(f"spec.parameters.worker.config.{path}:")
    assert caught.value.suggestion
