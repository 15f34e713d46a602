"""GPUs of a pod: the extended resource, and the node labels of NVIDIA's feature discovery (design section 6)."""

from typing import Any

from batch_operator.api.v1alpha1.pipeline import Gpu

RESOURCE = "nvidia.com/gpu"
PRODUCT_LABEL = "nvidia.com/gpu.product"
MEMORY_LABEL = "nvidia.com/gpu.memory"
TOLERATION = {"key": RESOURCE, "operator": "Exists", "effect": "NoSchedule"}


def node_affinity(gpu: Gpu) -> dict[str, Any] | None:
    """Memory is labelled in MiB and asked for in GB of 10^9 bytes. `Gt` is strict, hence the one less: an 80 GB
    card with 81,559 MiB fits a request for 80 GB (76,293 MiB)."""
    enough = [{"key": k, "operator": "Gt", "values": [str(number)]} for k, number in labels_above(gpu).items()]
    if not enough:
        return None
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": enough}]}
        }
    }


def labels_above(gpu: Gpu) -> dict[str, int]:
    return {} if gpu.memory_gb is None else {MEMORY_LABEL: gpu.memory_gb * 10**9 // 2**20 - 1}


def node_selector(gpu: Gpu) -> dict[str, str]:
    return {PRODUCT_LABEL: gpu.product} if gpu.product else {}
