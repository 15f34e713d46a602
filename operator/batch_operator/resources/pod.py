"""One worker pod, under the restricted Pod Security profile (design sections 4 and 6; docs/pod-contract.md)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from batch_operator.api import names, ranges
from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.api.v1alpha1.pipeline import (
    Component,
    EnvironmentVariable,
    Resources,
    Toleration,
    VolumeSource,
)
from batch_operator.resources import gpu as gpus
from batch_operator.resources.job_document import outputs_url
from batch_operator.resources.metadata import labels, owner_reference
from batch_operator.snapshot import RuleSettings

CONTRACT_VOLUME = "batch"
STORAGE_VOLUME = "batch-storage"
GROUP_ID = 65532
"""Owns a volume's files where its driver can: a non-root worker must be able to write its results."""
TOKEN_SECONDS = 3600
TEMPORARY = "/tmp"  # noqa: S108 - the pod's own emptyDir
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - likewise

_RESOURCE_NAMES = {"cpu": "cpu", "memory": "memory", "ephemeral_storage": "ephemeral-storage"}


@dataclass(frozen=True, slots=True)
class Place:
    """Which of a job's pods: its component, index and attempt, the inputs that are its block, and of how many pods
    of its component it is one."""

    component: str
    index: int
    attempt: int
    inputs: Collection[int]
    parallelism: int


def pod(job: BatchJob, file: JobFile, place: Place, settings: RuleSettings, grace_seconds: int) -> dict[str, Any]:
    """The manifest to POST. Same arguments, same manifest."""
    component = file.components[place.component]
    block = ranges.format_ranges(place.inputs)
    volumes, mounts = _volumes(job, file, component, bool(settings.progress_url))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": names.pod_name(job.name, job.uid, place.component, place.index, place.attempt),
            "namespace": job.namespace,
            "labels": labels(job)
            | {
                names.COMPONENT_LABEL: place.component,
                names.INDEX_LABEL: str(place.index),
                names.ATTEMPT_LABEL: str(place.attempt),
                names.QUEUE_LABEL: job.spec.queue,
            },
            "annotations": {names.INPUTS_ANNOTATION: block},
            "ownerReferences": [owner_reference(job)],
        },
        "spec": _present(
            restartPolicy="Never",
            automountServiceAccountToken=False,
            enableServiceLinks=False,
            serviceAccountName=component.service_account_name,
            runtimeClassName=component.runtime_class_name,
            terminationGracePeriodSeconds=grace_seconds,
            priorityClassName=job.spec.priority_class_name,
            imagePullSecrets=[{"name": name} for name in component.image_pull_secrets or ()],
            securityContext={
                "runAsNonRoot": True,
                "fsGroup": GROUP_ID,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **_placement(component),
            containers=[
                _present(
                    name=names.CONTAINER_NAME,
                    image=component.image,
                    imagePullPolicy=component.image_pull_policy,
                    command=component.command,
                    args=component.args,
                    env=_environment(job, file, place, block, settings),
                    envFrom=_credentials(file),
                    resources=_resources(component.resources),
                    # a worker that crashed without a last report is quoted by the end of its log
                    terminationMessagePolicy="FallbackToLogsOnError",
                    securityContext={
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    volumeMounts=mounts,
                )
            ],
            volumes=volumes,
        ),
    }


def _present(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value not in (None, "", [], {})}


def _environment(
    job: BatchJob, file: JobFile, place: Place, block: str, settings: RuleSettings
) -> list[dict[str, Any]]:
    contract = {
        "BATCH_JOB_FILE": f"{names.MOUNT_PATH}/{names.JOB_FILE_KEY}",
        "BATCH_JOB_SHA256": file.sha256,
        "BATCH_COMPONENT": place.component,
        "BATCH_INDEX": str(place.index),
        "BATCH_PARALLELISM": str(place.parallelism),
        "BATCH_ATTEMPT": str(place.attempt),
        "BATCH_INPUTS": block,
        "BATCH_OUTPUT_URL": outputs_url(job, file),
    }
    if settings.progress_url:
        contract |= {
            "BATCH_PROGRESS_URL": settings.progress_url.rstrip("/") + names.PROGRESS_PATH,
            "BATCH_PROGRESS_TOKEN_FILE": f"{names.MOUNT_PATH}/{names.TOKEN_FILE_KEY}",
            "BATCH_PROGRESS_CA_FILE": f"{names.MOUNT_PATH}/{names.CA_FILE_KEY}",
        }
    own = [_variable(variable) for variable in file.components[place.component].env or ()]
    return [*own, *({"name": name, "value": value} for name, value in contract.items())]


def _variable(variable: EnvironmentVariable) -> dict[str, Any]:
    if variable.secret is None:
        return {"name": variable.name, "value": variable.value}
    source = {"name": variable.secret.name, "key": variable.secret.key}
    return {"name": variable.name, "valueFrom": {"secretKeyRef": source}}


def _credentials(file: JobFile) -> list[dict[str, Any]]:
    secret = file.storage.credentials_secret
    return [{"secretRef": {"name": secret}}] if secret else []


def _resources(resources: Resources | None) -> dict[str, Any]:
    """Requests equal limits: a batch worker that is promised less than it uses dies when it hurts most."""
    amounts = requests(resources)
    return {"limits": amounts, "requests": amounts} if amounts else {}


def requests(resources: Resources | None) -> dict[str, str]:
    """By resource, what one pod asks for."""
    if resources is None:
        return {}
    amounts = {
        name: str(amount)
        for field, name in _RESOURCE_NAMES.items()
        if (amount := getattr(resources, field)) is not None
    }
    if resources.gpu is not None:
        amounts[gpus.RESOURCE] = str(resources.gpu.count)
    return amounts


def _placement(component: Component) -> dict[str, Any]:
    gpu = component.resources.gpu if component.resources else None
    tolerations = [_toleration(toleration) for toleration in component.tolerations or ()]
    if gpu is None:
        return {"nodeSelector": node_selector(component), "tolerations": tolerations}
    return {
        "nodeSelector": node_selector(component),
        "tolerations": [*tolerations, gpus.TOLERATION],
        "affinity": gpus.node_affinity(gpu),
    }


def node_selector(component: Component) -> dict[str, str]:
    gpu = component.resources.gpu if component.resources else None
    return (component.node_selector or {}) | (gpus.node_selector(gpu) if gpu else {})


def labels_above(component: Component) -> dict[str, int]:
    """Labels of its node whose number must be greater: what the node affinity says."""
    gpu = component.resources.gpu if component.resources else None
    return gpus.labels_above(gpu) if gpu else {}


def _toleration(toleration: Toleration) -> dict[str, Any]:
    return _present(
        key=toleration.key,
        operator=toleration.operator,
        value=toleration.value,
        effect=toleration.effect,
        tolerationSeconds=toleration.toleration_seconds,
    )


def _volumes(
    job: BatchJob, file: JobFile, component: Component, reports: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(volumes, mounts): the pod contract's, /tmp, /dev/shm, the store, the component's own."""
    items = [{"key": names.JOB_FILE_KEY, "path": names.JOB_FILE_KEY}]
    sources: list[dict[str, Any]] = []
    if reports:
        items.append({"key": names.CA_FILE_KEY, "path": names.CA_FILE_KEY})
        sources.append(
            {
                "serviceAccountToken": {
                    "audience": names.TOKEN_AUDIENCE,
                    "expirationSeconds": TOKEN_SECONDS,
                    "path": names.TOKEN_FILE_KEY,
                }
            }
        )
    sources.insert(0, {"configMap": {"name": names.configmap_name(job.name, job.uid), "items": items}})
    volumes: list[dict[str, Any]] = [
        {"name": CONTRACT_VOLUME, "projected": {"sources": sources}},
        {"name": "tmp", "emptyDir": {}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": CONTRACT_VOLUME, "mountPath": names.MOUNT_PATH, "readOnly": True},
        {"name": "tmp", "mountPath": TEMPORARY},
    ]
    shm = component.resources.shm if component.resources else None
    if shm is not None:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(shm)}})
        mounts.append({"name": "shm", "mountPath": SHARED_MEMORY})
    if file.storage.volume is not None:
        volumes.append({"name": STORAGE_VOLUME, **_source(file.storage.volume)})
        mounts.append(_mount(STORAGE_VOLUME, file.storage.volume))
    for volume in component.volumes or ():
        name = f"pipeline-{volume.name}"
        volumes.append({"name": name, **_source(volume)})
        mounts.append(_mount(name, volume))
    return volumes, mounts


def _source(volume: VolumeSource) -> dict[str, Any]:
    if volume.persistent_volume_claim is not None:
        return {"persistentVolumeClaim": {"claimName": volume.persistent_volume_claim}}
    if volume.config_map is not None:
        return {"configMap": {"name": volume.config_map}}
    if volume.secret is not None:
        return {"secret": {"secretName": volume.secret}}
    limit = volume.empty_dir.size_limit if volume.empty_dir else None
    medium = volume.empty_dir.medium if volume.empty_dir else None
    return {"emptyDir": _present(medium=medium, sizeLimit=None if limit is None else str(limit))}


def _mount(name: str, volume: VolumeSource) -> dict[str, Any]:
    return _present(name=name, mountPath=volume.mount_path, readOnly=volume.read_only)
