"""Workers and encoders by name. Other packages add theirs by entry points of the groups below, without a change here.

[project.entry-points."batch_worker.workers"]
my-pipeline = "my_package.worker:MyWorker"
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

WORKERS = "batch_worker.workers"
ENCODERS = "batch_worker.encoders"

# Named here too, so that a checkout on PYTHONPATH, without installed metadata, has them.
_BUILT_IN: Mapping[str, Mapping[str, str]] = {
    WORKERS: {
        "machine-state-classification": "batch_worker.workers.machine_state.worker:MachineStateClassification",
        "line-count": "batch_worker.workers.line_count:LineCount",
    },
    ENCODERS: {
        "rocket_1": "batch_worker.workers.machine_state.encoders.rocket:RocketEncoder",
        "stats_1": "batch_worker.workers.machine_state.encoders.stats:StatsEncoder",
        "raw_1": "batch_worker.workers.machine_state.encoders.raw:RawEncoder",
    },
}


def names(group: str) -> list[str]:
    """All names of a group, sorted."""
    return sorted({*_BUILT_IN[group], *(point.name for point in entry_points(group=group))})


def find(group: str, name: str) -> Any:
    """The object of that name; built-in names cannot be taken over. Raises KeyError."""
    if name in _BUILT_IN[group]:
        module, _, attribute = _BUILT_IN[group][name].partition(":")
        return getattr(import_module(module), attribute)
    for point in entry_points(group=group, name=name):
        return point.load()
    raise KeyError(name)
