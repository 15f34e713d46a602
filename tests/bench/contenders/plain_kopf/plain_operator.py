"""The operator itself: `kopf run --standalone -n NAMESPACE plain_operator.py`; contender starts it.

Written as kopf's documentation shows it: on.create makes the children with the official client and adopts them, an
in-memory index knows the pods, a timer looks at them and patches status; plain functions, which kopf runs in threads.
It does what the benchmark needs: no queue, no retries, no limits. What a user would soon find out is in it: more
threads than the default, no timer for a job that has ended, no write that changes nothing, and a handler that may
be repeated.
"""

from collections import Counter
from typing import Any

import kopf
import kubernetes

GROUP = "plain.example.org"
JOB_LABEL = f"{GROUP}/job"
ENDED = ("Succeeded", "Failed")
_LOOK_SECONDS = 1.0
_THREADS = 32
Key = tuple[str | None, str]


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.execution.max_workers = _THREADS
    settings.persistence.finalizer = f"{GROUP}/kopf-finalizer"
    kubernetes.config.load_kube_config()


@kopf.on.create(GROUP, "v1", "plainjobs")
def create_pods(name: str, namespace: str | None, spec: kopf.Spec, logger: kopf.Logger, **_: Any) -> None:
    api = kubernetes.client.CoreV1Api()
    for number in range(spec["pods"]):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{name}-{number}", "labels": {JOB_LABEL: name}},
            "spec": dict(spec["template"]),
        }
        kopf.adopt(pod)
        try:
            api.create_namespaced_pod(namespace=namespace, body=pod)
        except kubernetes.client.exceptions.ApiException as error:
            if error.status != 409:  # made by an earlier try of this handler
                raise
    logger.info("created %s pods", spec["pods"])


@kopf.index("pods", labels={JOB_LABEL: kopf.PRESENT})
def phases(namespace: str | None, labels: kopf.Labels, status: kopf.Status, **_: Any) -> dict[Key, str]:
    return {(namespace, labels[JOB_LABEL]): status.get("phase", "Pending")}


def under_way(status: kopf.Status, **_: Any) -> bool:
    return status.get("phase") not in ENDED


@kopf.timer(GROUP, "v1", "plainjobs", interval=_LOOK_SECONDS, when=under_way)  # type: ignore[arg-type]  # the index
def look_at_pods(
    *,
    name: str,
    namespace: str | None,
    spec: kopf.Spec,
    status: kopf.Status,
    patch: kopf.Patch,
    phases: kopf.Index[Key, str],
    **_: Any,
) -> None:
    seen = Counter(phases.get((namespace, name), ()))
    now = {"phase": phase_of(seen, spec["pods"]), "succeeded": seen["Succeeded"]}
    if any(status.get(field) != value for field, value in now.items()):
        patch.status.update(now)


def phase_of(seen: Counter[str], pods: int) -> str:
    """Of a job with so many pods, some of which are seen in these phases."""
    if seen["Failed"]:
        return "Failed"
    if seen["Succeeded"] == pods:
        return "Succeeded"
    return "Running" if seen["Running"] or seen["Succeeded"] else "Pending"
