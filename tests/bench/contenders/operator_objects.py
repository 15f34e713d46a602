"""This operator's objects as its contender and the bare scripts share them: CRDs, and when a BatchJob has ended."""

from functools import cache

import yaml

from tests.bench.contender import Object
from tests.cluster.layout import CHECKOUT

SUCCEEDED = "succeeded"


@cache
def crds() -> tuple[Object, ...]:
    """As they are in this checkout."""
    return tuple(yaml.safe_load(path.read_text()) for path in sorted((CHECKOUT / "crds").glob("*.yaml")))


def outcome(job: Object) -> str:
    state = (job.get("status") or {}).get("status", "")
    if state == "COMPLETED":
        return SUCCEEDED
    return str(state) if state in ("FAILED", "CANCELLED") else ""
