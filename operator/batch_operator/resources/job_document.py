"""The content of the job file: everything a worker must know, and the components as they were resolved."""

from collections.abc import Mapping, Sequence
from typing import Any

from batch_operator.api import ids
from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import BatchJob


def job_file(
    job: BatchJob,
    pipeline: Mapping[str, Any],
    parameters: Mapping[str, Any],
    inputs: Sequence[Mapping[str, Any]],
    references: Mapping[str, Sequence[Mapping[str, Any]]],
) -> JobFile:
    """`pipeline`: the spec of the registry's object as it is stored, so that the same registry and the same job
    give the same bytes in every later version of the operator."""
    document = {
        "id": ids.job_id(job.uid),
        "name": job.spec.name or job.name,
        "namespace": job.namespace,
        "pipeline_key": pipeline["key"],
        "pipeline_version": pipeline["version"],
        "pipeline_type": pipeline["type"],
        "parameters": parameters,
        "components": pipeline["components"],
        "input_ports": pipeline.get("input_ports") or [],
        "output_ports": pipeline.get("output_ports") or [],
        "retry_policy": pipeline.get("retry_policy") or {},
        "storage": pipeline["storage"],
        "inputs_url": pipeline["storage"]["inputs_url"],
        "inputs": list(inputs),
        "references": references,
    }
    return JobFile.encode(document)


def outputs_url(job: BatchJob, file: JobFile) -> str:
    return f"{file.storage.outputs_url.rstrip('/')}/{job.namespace}/{file.document['id']}"
