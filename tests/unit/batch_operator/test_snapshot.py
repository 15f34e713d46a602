"""What records keep of the API server's objects."""

from typing import Any

import pytest

from batch_operator.snapshot import NodeRecord, decode_node


def raw_node(spec: dict[str, Any] | None = None, **conditions: str) -> dict[str, Any]:
    listed = [{"type": kind, "status": status} for kind, status in conditions.items()]
    metadata = {"name": "gpu-1", "uid": "u", "resourceVersion": "7"}
    return {"metadata": metadata, "spec": spec or {}, "status": {"conditions": listed}}


@pytest.mark.parametrize(
    ("raw", "ready", "out_of_service"),
    [
        (raw_node(Ready="True", DiskPressure="False"), True, False),
        (raw_node(Ready="False"), False, False),
        (raw_node(Ready="Unknown"), False, False),
        ({"metadata": {"name": "gpu-1", "uid": "u", "resourceVersion": "7"}}, False, False),
        (
            raw_node({"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]}, Ready="True"),
            True,
            True,
        ),
        (raw_node({"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]}, Ready="True"), True, False),
    ],
    ids=["ready", "not-ready", "unheard-of", "new", "out-of-service", "another-taint"],
)
def test_a_node(raw: dict[str, Any], ready: bool, out_of_service: bool) -> None:
    assert decode_node(raw) == NodeRecord("gpu-1", "u", "7", ready, out_of_service)
