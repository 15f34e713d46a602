"""What all children of a job have in common: labels and the owner reference."""

from typing import Any

from batch_operator.api import names
from batch_operator.api.v1alpha1.batchjob import BatchJob


def owner_reference(job: BatchJob) -> dict[str, Any]:
    """The controller reference: deletion cascades, also while the operator is down. It blocks nothing."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": "BatchJob",
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def labels(job: BatchJob) -> dict[str, str]:
    return {
        names.MANAGED_BY: names.MANAGED_BY_VALUE,
        names.JOB_NAME_LABEL: job.name,
        names.JOB_UID_LABEL: job.uid,
    }
