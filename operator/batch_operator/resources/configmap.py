"""The job's ConfigMap: the job file and the progress endpoint's authority, immutable."""

import base64
from typing import Any

from batch_operator.api import names
from batch_operator.api.job_file import JobFile, JobFileError
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.resources.metadata import labels, owner_reference


def configmap(job: BatchJob, file: JobFile, ca_certificate: str) -> dict[str, Any]:
    """10,000 inputs are 86 KB so, and 1.6 MB as plain text; the limit of a ConfigMap is 1 MiB."""
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.configmap_name(job.name, job.uid),
            "namespace": job.namespace,
            "labels": labels(job),
            "ownerReferences": [owner_reference(job)],
        },
        "immutable": True,
        "binaryData": {names.JOB_FILE_KEY: base64.b64encode(file.compressed()).decode()},
    }
    if ca_certificate:
        manifest["data"] = {names.CA_FILE_KEY: ca_certificate}
    return manifest


def job_file(manifest: dict[str, Any]) -> JobFile | None:
    """The job file of a ConfigMap as the API server sends it; None where there is none in it."""
    try:
        return JobFile.decode(base64.b64decode(manifest["binaryData"][names.JOB_FILE_KEY], validate=True))
    except (KeyError, TypeError, ValueError, JobFileError):
        return None
