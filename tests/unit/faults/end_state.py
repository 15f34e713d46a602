"""What people see when a plan has ended, and where two ends differ. Used by plans."""

import re
from typing import Any

from tests.fakes.resource_types import BATCH_JOBS, CONFIG_MAPS, PODS
from tests.fakes.watch_log import Commit
from tests.fakes.world import World

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def end_state(world: World) -> dict[str, Any]:
    """What people see at the end, without times: the jobs' status, and their children by name."""
    server = world.server
    jobs = server.list_page("/apis/batch-operator.dev/v1alpha1/batchjobs")["items"]
    state: dict[str, Any] = {f"job {job['metadata']['name']}": _timeless(job.get("status") or {}) for job in jobs}
    for resource in (PODS, CONFIG_MAPS):
        for obj in server.list_page(f"/api/v1/{resource.plural}")["items"]:
            if obj["metadata"].get("ownerReferences"):
                what = obj["status"].get("phase") if resource is PODS else obj["binaryData"]
                state[f"{resource.kind} {obj['metadata']['name']}"] = what
    return state


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
    return [one for one in conditions if (one["type"], one["status"]) != ("Stalled", "False")]


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(_settled(inner) if key == "conditions" else inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_timeless(inner) for inner in value]
    return "<time>" if isinstance(value, str) and _TIME.fullmatch(value) else value
