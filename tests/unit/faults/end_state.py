"""What people see when a plan has ended, and where two ends differ. Used by plans."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.fakes.resource_types import BATCH_JOBS, CONFIG_MAPS, PODS, ResourceType
from tests.fakes.watch_log import Commit
from tests.fakes.world import World

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


COUNTS = ("retry_count", "preemption_count")
_PLACE = ("queue_position", "queue_depth")
_RESULTS = ("input_progress", "progress", "failures")
"""How far a job got that was ended before its own end, depends on when."""
_TIMES = ("started_at", "completed_at", "failed_at", "cancelled_at")


def end_state(world: World) -> dict[str, Any]:
    """The jobs' status without times, and their children by name."""
    state: dict[str, Any] = {f"job {name}": _timeless(status) for name, status in job_ends(world).items()}
    children = [*_children(world, PODS), *_children(world, CONFIG_MAPS)]
    return state | {f"{obj['kind']} {obj['metadata']['name']}": _content(obj) for obj in children}


def end_in_short(world: World) -> dict[str, Any]:
    """How the jobs ended, with which counts, and how many of their pods still live: what must be the same also
    where more than one way leads there.
    """
    state: dict[str, Any] = {f"job {name}": _in_short(status) for name, status in job_ends(world).items()}
    live = sum(count for phase, count in pod_phases(world).items() if phase in ("Pending", "Running"))
    return state | {"live pods": live}


def without_counts(state: Mapping[str, Any]) -> dict[str, Any]:
    """How many pods are lost may depend on when what goes wrong does; that each counts once is counting's to judge."""
    return {
        name: {key: inner for key, inner in value.items() if key not in COUNTS} if isinstance(value, dict) else value
        for name, value in state.items()
    }


def job_ends(world: World) -> dict[str, Any]:
    """Each job's status, by name."""
    jobs = world.server.list_page("/apis/batch-operator.dev/v1alpha1/batchjobs")["items"]
    return {job["metadata"]["name"]: job.get("status") or {} for job in jobs}


def pod_phases(world: World) -> Counter[str]:
    return Counter(pod["status"]["phase"] for pod in _children(world, PODS))


def _children(world: World, resource: ResourceType) -> list[Any]:
    items = world.server.list_page(f"/api/v1/{resource.plural}")["items"]
    return [obj for obj in items if obj["metadata"].get("ownerReferences")]


def _content(obj: Any) -> Any:
    return obj["status"].get("phase") if obj["kind"] == "Pod" else obj["binaryData"]


def _in_short(status: Any) -> Any:
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or () if c["status"] == "True"}
    done = status.get("status") == "COMPLETED"
    return {
        **{name: status.get(name) for name in ("status", *COUNTS, *_PLACE, *(_RESULTS if done else ()))},
        **{name: name in status for name in _TIMES},
        "error": (status.get("error") or {}).get("code"),
        "conditions": conditions,
    }


def job_statuses(history: list[Commit]) -> list[str]:
    """The values that status.status went through."""
    seen = [(c.object.get("status") or {}).get("status") for c in history if c.resource is BATCH_JOBS]
    return [str(now) for before, now in zip([None, *seen], seen, strict=False) if now and now != before]


def difference(left: Any, right: Any, where: str = "") -> str:
    """The first place where two states differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            if left.get(key) != right.get(key):
                return difference(left.get(key), right.get(key), f"{where}/{key}")
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for place, (one, other) in enumerate(zip(left, right, strict=True)):
            if one != other:
                return difference(one, other, f"{where}/{place}")
    if isinstance(left, list) and isinstance(right, list):
        left, right = [one for one in left if one not in right], [one for one in right if one not in left]
    return f"{where}: {left!r} became {right!r}"


def _settled(conditions: list[Any]) -> list[Any]:
    """Without what only says that a trouble has passed."""
    troubles = ("Stalled", "Suspended", "Preempted")
    return [one for one in conditions if one["type"] not in troubles or one["status"] == "True"]


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        value = {key: inner for key, inner in value.items() if key not in ("run_seconds", "observed_indexes")}
        return {key: _timeless(_settled(inner) if key == "conditions" else inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_timeless(inner) for inner in value]
    return "<time>" if isinstance(value, str) and _TIME.fullmatch(value) else value
