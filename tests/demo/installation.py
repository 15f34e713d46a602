"""Installs the operator by its chart, as the README says, with the images that this checkout built."""

import subprocess
from collections.abc import Mapping

from tests.cluster.connection import Connection
from tests.cluster.errors import ClusterError
from tests.cluster.layout import CHECKOUT
from tests.cluster.progress import step

RELEASE = "batch-operator"
NAMESPACE = "batch-operator-system"
DEMO_NAMESPACE = "batch-demo"


def install(cluster: Connection, extra: Mapping[str, str] | None = None) -> None:
    """`helm upgrade --install`, and waits until the operator is ready. A second time: nothing changes."""
    operator, worker = (image.rpartition(":") for image in (cluster.image_operator, cluster.image_worker))
    values = {
        "image.repository": operator[0],
        "image.tag": operator[2],
        "pipelines.machineStateClassification.image.repository": worker[0],
        "pipelines.machineStateClassification.image.tag": worker[2],
        "progress.address": "clusterIP",
        **(extra or {}),
    }
    arguments = [f"--set={key}={value}" for key, value in values.items()]
    chart = str(CHECKOUT / "helm/batch-operator")
    with step(f"installing the operator by its chart (helm upgrade --install {RELEASE} helm/batch-operator …)"):
        helm(
            cluster,
            "upgrade",
            "--install",
            RELEASE,
            chart,
            "--create-namespace",
            "--take-ownership",
            "--wait",
            "--timeout=3m",
            *arguments,
        )
    namespace(cluster, DEMO_NAMESPACE)


def helm(cluster: Connection, *arguments: str) -> str:
    """stdout of one call in the operator's namespace. Raises ClusterError with helm's words."""
    command = [cluster.helm, f"--kubeconfig={cluster.kubeconfig}", f"--namespace={NAMESPACE}", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ClusterError(f"helm {arguments[0]}: {result.stderr.strip()}")
    return result.stdout


def namespace(cluster: Connection, name: str) -> None:
    """A namespace under the restricted Pod Security profile."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.client().run(
        "apply",
        "-f",
        "-",
        stdin={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}},
    )
