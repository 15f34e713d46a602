"""The group, and every label, annotation, path and child name that the operator writes or reads.

Names of children carry the job's uid, so that a child of a deleted job of the same name is never
mistaken for ours (design section 5, "Never a duplicate pod").
"""

import hashlib

GROUP = "batch-operator.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

FIELD_MANAGER = "batch-operator"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY_VALUE = "batch-operator"
POD_SELECTOR = f"{MANAGED_BY}={MANAGED_BY_VALUE}"

JOB_NAME_LABEL = f"{GROUP}/job-name"
JOB_UID_LABEL = f"{GROUP}/job-uid"
COMPONENT_LABEL = f"{GROUP}/component"
INDEX_LABEL = f"{GROUP}/index"
ATTEMPT_LABEL = f"{GROUP}/attempt"
QUEUE_LABEL = f"{GROUP}/queue"
INPUTS_ANNOTATION = f"{GROUP}/inputs"
RETRY_ANNOTATION = f"{GROUP}/retry-requested-at"
CANCEL_ANNOTATION = f"{GROUP}/cancel-requested-at"
ORG_ID_LABEL = f"{GROUP}/org-id"

CONTAINER_NAME = "worker"
MOUNT_PATH = "/etc/batch"
JOB_FILE_KEY = "job.json.gz"
CA_FILE_KEY = "ca.crt"
TOKEN_FILE_KEY = "token"
TOKEN_AUDIENCE = f"{GROUP}/progress"
PROGRESS_PATH = "/v1/progress"

MAX_POD_NAME = 63  # a pod's name is also its hostname, and a DNS label ends there
HASH_LENGTH = 10


def pod_name(job: str, uid: str, component: str, index: int, attempt: int) -> str:
    """``<job>-<6 of uid>-<component>-<index>-<attempt>``; the job's part is cut and hashed past 63 characters."""
    return bounded(f"{job}-{uid[:6]}", f"-{component}-{index}-{attempt}", uid)


def configmap_name(job: str, uid: str) -> str:
    return bounded(f"{job}-{uid[:6]}", "-job", uid)


def bounded(stem: str, suffix: str, uid: str) -> str:
    """`stem` + `suffix`, with the stem cut and hashed past 63 characters."""
    if len(stem) + len(suffix) <= MAX_POD_NAME:
        return stem + suffix
    digest = hashlib.sha256(f"{stem}/{uid}".encode()).hexdigest()[:HASH_LENGTH]
    kept = stem[: MAX_POD_NAME - len(suffix) - HASH_LENGTH - 1].rstrip("-.")
    return f"{kept}-{digest}{suffix}"
