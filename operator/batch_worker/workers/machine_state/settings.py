"""The config of machine-state-classification, as the batch API's document has it (seed 001), checked and with defaults.

The operator has validated it against the pipeline's JSON Schema already; this is the worker's own last look.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batch_worker.errors import InvalidConfig

METRICS = ("euclidean", "cosine", "manhattan")
WEIGHTS = ("uniform", "distance")
DEFAULTS: Mapping[str, Any] = {
    "model_type": "rocket_1",
    "batch_size": 32,
    "flush_every_n_iteration": 150,
    "reader_config": {"data_columns": None, "timestamp_column": "timestamp", "window_size": 64, "step_size": 1},
    "classifier_config": {"n_neighbors": 5, "metric": "euclidean", "weights": "uniform", "normalize_embeddings": False},
}


@dataclass(frozen=True)
class Settings:
    """`window_size` and `step_size` in rows, `batch_size` in windows, `flush_every_n_iteration` in batches."""

    model_type: str
    batch_size: int
    flush_every_n_iteration: int
    data_columns: tuple[str, ...] | None
    timestamp_column: str
    window_size: int
    step_size: int
    n_neighbors: int
    metric: str
    weights: str
    normalize_embeddings: bool

    @property
    def windows_a_part(self) -> int:
        """How many windows a result part holds; only the last part of an input has fewer."""
        return self.batch_size * self.flush_every_n_iteration


def parse(config: Mapping[str, Any], component: str) -> Settings:
    """Raises InvalidConfig, naming the path, for an unknown setting, a wrong type or a value out of range."""
    root = path(component)
    values: dict[str, Any] = {}
    for name, value in _section(config, DEFAULTS, root).items():
        if isinstance(DEFAULTS[name], Mapping):
            values.update(_section(value, DEFAULTS[name], f"{root}.{name}", name))
        else:
            values[name] = value
    for name, least in (("batch_size", 1), ("flush_every_n_iteration", 1)):
        _whole(values[name], least, f"{root}.{name}")
    for name, least in (("window_size", 4), ("step_size", 1)):
        _whole(values[name], least, f"{root}.reader_config.{name}")
    _whole(values["n_neighbors"], 1, f"{root}.classifier_config.n_neighbors")
    _one_of(values["metric"], METRICS, f"{root}.classifier_config.metric")
    _one_of(values["weights"], WEIGHTS, f"{root}.classifier_config.weights")
    if not isinstance(values["normalize_embeddings"], bool):
        raise _wrong(f"{root}.classifier_config.normalize_embeddings", values["normalize_embeddings"], "true or false")
    for name, where in (("model_type", root), ("timestamp_column", f"{root}.reader_config")):
        if not isinstance(values[name], str) or not values[name]:
            raise _wrong(f"{where}.{name}", values[name], "a text")
    values["data_columns"] = _columns(
        values["data_columns"], values["timestamp_column"], f"{root}.reader_config.data_columns"
    )
    return Settings(**values)


def path(component: str, *names: str) -> str:
    """The path of a setting as the user wrote it in the BatchJob."""
    return ".".join(("spec.parameters", component, "config", *names))


def _section(given: Any, known: Mapping[str, Any], where: str, name: str = "config") -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise _wrong(where, given, f"an object ({name})")
    for key in given:
        if key not in known:
            raise InvalidConfig(f"{where}.{key}: there is no such setting", f"Use one of {', '.join(known)}.")
    return {**known, **{key: value for key, value in given.items() if value is not None}}


def _columns(value: Any, timestamp_column: str, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(name, str) and name for name in value):
        raise _wrong(where, value, "a list of column names")
    if len(set(value)) != len(value):
        raise InvalidConfig(f"{where}: a column is named twice", "Name each column once.")
    if timestamp_column in value:
        raise InvalidConfig(
            f"{where}: {timestamp_column} is the timestamp_column, not a sensor", "Take it out of data_columns."
        )
    return tuple(value)


def _whole(value: Any, least: int, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _wrong(where, value, f"a whole number of at least {least}")


def _one_of(value: Any, allowed: tuple[str, ...], where: str) -> None:
    if value not in allowed:
        raise _wrong(where, value, f"one of {', '.join(allowed)}")


def _wrong(where: str, value: Any, wanted: str) -> InvalidConfig:
    return InvalidConfig(f"{where}: {value!r} is not {wanted}", f"Give {wanted}.")
