"""BatchJob: the request body of the batch API under ``spec``, its answer under ``status``.

Seeds 000 to 002 (create and get of a job) fix the API's names; design section 1 has what we add.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from batch_operator.api.v1alpha1.batch_queue import DEFAULT_QUEUE
from batch_operator.api.v1alpha1.conditions import Condition
from batch_operator.api.v1alpha1.schema_types import (
    COMPONENT_PATTERN,
    KEY_PATTERN,
    MOST_SECONDS,
    SEMVER_PATTERN,
    ApiModel,
    FreeForm,
    Policy,
    Timestamp,
    cel,
    crd_default,
    immutable,
    validations,
)

MAX_INPUTS = 10_000
MAX_FAILURES = 10

FILE_ID_PATTERN = (
    r"^([A-Za-z][^/:\\\x00-\x1f\x7f]*|[^A-Za-z/.\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*)"
    r"(/[^/.\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*)*$"
)
"""A path below the store: no leading slash, no empty segment, none that begins with a dot, no scheme."""


class JobStatus(StrEnum):
    """The API's values of ``status.status``."""

    PENDING = "PENDING"
    ADMITTED = "ADMITTED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    PREEMPTED = "PREEMPTED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


class InputFile(ApiModel):
    """One input file of a port."""

    file_id: str = Field(
        min_length=1,
        max_length=512,
        pattern=FILE_ID_PATTERN,
        description="The file's path below the pipeline's inputs_url. Relative, no segment begins with a dot, "
        "and no URL.",
    )
    metadata: dict[str, Annotated[str, Field(max_length=256)]] | None = Field(
        None,
        description='What the port wants to know of the file, e.g. {"class": "normal"} for a labelled example.',
        json_schema_extra={"maxProperties": 16},
    )


class ComponentParameters(ApiModel):
    """How one component of the pipeline runs."""

    parallelism: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="The number of pods of this component; never more than it has inputs. Default: the pipeline's.",
    )
    config: FreeForm | None = Field(
        None,
        description="Configuration of the container, merged onto the pipeline's default_config (RFC 7396: "
        "objects merge, arrays replace). The pipeline's user_config_schema says what may be set.",
    )


_PORTS = cel(
    f"self.all(k, k.size() <= 84 && k.matches('{COMPONENT_PATTERN[:-1]}[.][a-z0-9_]+$'))",
    "a port is named <component>.<port>, e.g. worker.inference",
)
_INPUT_COUNT = cel(
    f"self.map(k, self[k].size()).sum() <= {MAX_INPUTS}", f"a job has at most {MAX_INPUTS} input files in all"
)
_COMPONENTS = cel(
    f"self.all(k, k.matches('{COMPONENT_PATTERN}'))",
    "a component's name is a DNS label of at most 20 characters",
)
_REMEDY = "apply a job of another name"
_IMMUTABLE = ("name", "pipeline_type", "pipeline_key", "pipeline_version", "inputs", "parameters")
_NOT_SETTLED = "!(has(self.status) && has(self.status.status) && self.status.status in ['ADMITTED', 'RUNNING'])"
_SETTLED = (
    immutable("spec.priority_class_name", "its pods have it; suspend the job first", unless=_NOT_SETTLED),
    immutable("spec.queue", "it holds quota there; suspend the job first", unless=_NOT_SETTLED),
)


class BatchJobSpec(ApiModel):
    """The job to run: the batch API's request body, and how it is treated."""

    model_config = ConfigDict(json_schema_extra=validations(*(immutable(field, _REMEDY) for field in _IMMUTABLE)))

    name: str | None = Field(
        None, min_length=1, max_length=253, description="A name for people. Default: metadata.name."
    )
    pipeline_type: Literal["batch", "training"] = Field(
        description="The type of pipeline to run; must be the pipeline's own."
    )
    pipeline_key: str = Field(
        max_length=63,
        pattern=KEY_PATTERN,
        description="The key of the pipeline in the registry (kubectl get pipelines,clusterpipelines).",
    )
    pipeline_version: str | None = Field(
        None,
        max_length=64,
        pattern=SEMVER_PATTERN,
        description="The pipeline's version. Default: the latest published one, resolved once and recorded in status.",
    )
    inputs: dict[str, Annotated[list[InputFile], Field(max_length=MAX_INPUTS)]] | None = Field(
        None,
        description="Input files by port. Ports that scatter share their files out among the pods; "
        f"ports that replicate give every pod all of them. At most {MAX_INPUTS} files in all, and a spec of 1 MiB.",
        json_schema_extra=validations(_PORTS, _INPUT_COUNT, maxProperties=32),
    )
    parameters: dict[str, ComponentParameters] | None = Field(
        None,
        description="Parallelism and configuration by component. Merged onto the pipeline's defaults, at most 256 KiB.",
        json_schema_extra=validations(_COMPONENTS, maxProperties=16),
    )
    queue: str = Field(
        DEFAULT_QUEUE,
        max_length=63,
        pattern=KEY_PATTERN,
        description="The Queue that admits the job (kubectl get queues). Cannot be changed while the job is ADMITTED "
        "or RUNNING.",
        json_schema_extra=crd_default(DEFAULT_QUEUE),
    )
    priority_class_name: str | None = Field(
        None,
        max_length=253,
        description="The PriorityClass of the job in its queue, and of its pods. Cannot be changed while the job is "
        "ADMITTED or RUNNING.",
    )
    suspend: bool | None = Field(
        None,
        description="true ends the job's pods and holds it; false lets it go on with the inputs that are left. "
        "The operator never writes it.",
    )
    policy: Policy | None = Field(
        None,
        description="Retries, preemptions, timeouts and failed inputs. A change counts from the next decision on; "
        "once the job has ended, only for a retry request and the time to live.",
    )


class InputProgress(ApiModel):
    """Tracked inputs by state; the four always sum to the number of tracked inputs."""

    pending: int = Field(0, description="Not yet taken up by a worker.")
    processing: int = Field(0, description="A worker is on it.")
    completed: int = Field(0, description="Ended, results committed.")
    failed: int = Field(0, description="Ended with an error; see failures.")


class JobError(ApiModel):
    """Why the job cannot go on, in the shape of the API's errors."""

    code: str = Field(
        description="INVALID_REQUEST, START_FAILED, RETRIES_EXHAUSTED, PREEMPTIONS_EXHAUSTED, INPUTS_FAILED, "
        "ASSIGN_TIMEOUT, START_TIMEOUT, RUN_TIMEOUT or TAMPERED."
    )
    message: str = Field(description="What is wrong, and where.")
    error_uid: str = Field(description="Names this error, and stays the same as long as it is the same.")
    suggestion: str | None = Field(None, description="What to do about it.")
    component: str | None = Field(None, description="The component whose pod failed.")
    input: int | None = Field(None, description="The number of the input that failed.")
    exit_code: int | None = Field(None, description="The exit code of the container that failed.")


class InputFailure(ApiModel):
    """One input that failed."""

    input: int = Field(description="The input's number: tracked ports sorted by name, files in list order.")
    file_id: str = Field(description="The input's file.")
    message: str = Field(description="Why it failed, in the worker's words.")


class ComponentLedger(ApiModel):
    """What was decided and observed of one component's indexes, in the round that runs."""

    parallelism: int = Field(description="Number of indexes of this round, i.e. of pods that run at once.")
    inputs: str | None = Field(None, description="Numbers of the inputs that this round shares out; absent: all.")
    attempt: int | None = Field(None, description="The attempt with which the round began; absent: 0.")
    attempts: str | None = Field(None, description='Indexes past it and their attempt, e.g. "0:2,3:1".')
    observed_indexes: str | None = Field(None, description="Indexes whose current pod has been seen.")
    succeeded_indexes: str | None = Field(None, description='Indexes that have ended, e.g. "0-2".')
    failures: str | None = Field(None, description="Retries by index since the last retry request.")
    unstarted: str | None = Field(None, description="Pods lost in a row before their start, by index.")
    next_retry: dict[str, Timestamp] | None = Field(None, description="When the index's next pod may be made.")
    slow_since: dict[str, Timestamp] | None = Field(None, description="Since when the index's pod fails to start.")


class PodRequest(ApiModel):
    """What a component's pods ask of the queue, all alike."""

    count: int = Field(description="How many there are to be.")
    requests: dict[str, str] | None = Field(None, description="By resource, what one pod asks for.")
    node_selector: dict[str, str] | None = Field(None, description="Labels that its node must have.")
    labels_above: dict[str, int] | None = Field(None, description="Labels of its node whose number must be greater.")


class AdmissionLedger(ApiModel):
    """What the job asks of its queue, and what it got."""

    pods: dict[str, PodRequest] = Field(description="By component, of the round that waits or runs.")
    priority: int | None = Field(None, description="The value of its PriorityClass; absent: 0.")
    queue: str | None = Field(None, description="The queue that admitted it last; it holds quota there.")
    admitted_at: Timestamp | None = Field(None, description="When that was.")
    queued_at: Timestamp | None = Field(
        None, description="Its place among its equals, where that is not created_at: it did not start in time then."
    )


class HandedOver(ApiModel):
    """What Kueue got of the round that waits or runs, instead of the job's own Queue."""

    queue: str = Field(description="The LocalQueue.")
    group: str | None = Field(
        None, description="The pod group of the round's first pods, and the Workload's name; absent: a single pod."
    )
    pods: int | None = Field(None, description="How many pods the group has.")


class Stopping(ApiModel):
    """The operator's own intent to end the job's pods, written before the first delete."""

    reason: str = Field(description="Why, in one word.")
    since: Timestamp = Field(description="When it was decided.")
    message: str | None = Field(None, description="Why, in a sentence, where the word is not enough.")
    preemptor: str | None = Field(None, description="The uid of the job that it gives way to.")
    error: JobError | None = Field(None, description="What the job will end with, where it fails.")


class HandledRequests(ApiModel):
    """The values of the request annotations that have been answered."""

    retry: str | None = Field(None, description="Of batch-operator.dev/retry-requested-at.")
    cancel: str | None = Field(None, description="Of batch-operator.dev/cancel-requested-at.")


class Ledger(ApiModel):
    """What a restarted operator must know and living pods cannot tell. Not for people."""

    spec_hash: str | None = Field(
        None,
        description="SHA-256 of the job file: resolved configuration, pinned components, numbered inputs.",
    )
    completed_inputs: str | None = Field(None, description='Numbers of the completed inputs, e.g. "0-3,6".')
    failed_inputs: str | None = Field(None, description="Numbers of the failed inputs.")
    components: dict[str, ComponentLedger] | None = Field(None, description="By component.")
    admission: AdmissionLedger | None = Field(None, description="What it asks of its queue, and what it got.")
    handed_over: HandedOver | None = Field(None, description="Set where Kueue decides on its admission.")
    stopping: Stopping | None = Field(None, description="Set while pods are being ended.")
    round_failures: int | None = Field(
        None, description="Rounds of restart_scope Job that failed since the last retry request."
    )
    preemption_base: int | None = Field(
        None, description="preemption_count at the last retry request: the limit counts from here."
    )
    waiting_since: Timestamp | None = Field(None, description="Since when the job waits for its admission.")
    starting_since: Timestamp | None = Field(None, description="Since when it is admitted without having started.")
    start_timeouts: int | None = Field(None, description="How often it did not start in time.")
    next_admission: Timestamp | None = Field(None, description="Before this it is not admitted again.")
    running_since: Timestamp | None = Field(None, description="Since when it has been running.")
    run_seconds: int | None = Field(None, description="How long it ran before that.")
    pipeline_ttl_seconds: int | None = Field(
        None, ge=-1, le=MOST_SECONDS, description="ttl_seconds_after_finished of the pipeline."
    )
    pipeline_ttl_deletes_job: bool | None = Field(None, description="ttl_deletes_job of the pipeline.")
    ttl_since: Timestamp | None = Field(
        None, description="From when the time to live counts, where the job's end is in the future."
    )
    children_deleted_at: Timestamp | None = Field(None, description="When the finished job's children were deleted.")
    handled_requests: HandledRequests | None = Field(None, description="Requests that have been answered.")


class BatchJobStatus(ApiModel):
    """The batch API's answer, field by field, and below it what is for people and for the operator."""

    id: str | None = Field(None, description="The job's id: a TypeID (job_…) made of metadata.uid.")
    org_id: str | None = Field(
        None, description="The organization: the namespace's label batch-operator.dev/org-id, else its name."
    )
    name: str | None = Field(None, description="The job's name.")
    pipeline_type: str | None = Field(None, description="The pipeline's type.")
    pipeline_key: str | None = Field(None, description="The pipeline's key.")
    pipeline_version: str | None = Field(None, description="The version that runs.")
    status: JobStatus | None = Field(
        None, description="PENDING, ADMITTED, RUNNING, PREEMPTED, COMPLETED, FAILED or CANCELLED."
    )
    parameters: FreeForm | None = Field(
        None, description="The parameters that run: the user's merged onto the pipeline's default_config."
    )
    retry_count: int | None = Field(
        None,
        description="Retries: replaced pods that had failed, lost rounds of restart_scope Job, and "
        "retry requests. Preemptions are not among them.",
    )
    preemption_count: int | None = Field(
        None, description="Pods, or rounds of restart_scope Job, that were lost to preemption."
    )
    queue_position: int | None = Field(
        None,
        description="Its place among the jobs that wait in its queue, the first is 1: exact to 10, then rounded up to "
        "one significant digit. Absent when it does not wait.",
    )
    queue_depth: int | None = Field(None, description="How many wait in its queue, rounded likewise.")
    input_progress: InputProgress | None = Field(None, description="Counts of the tracked inputs by state.")
    created_at: Timestamp | None = Field(None, description="When the job was created.")
    updated_at: Timestamp | None = Field(None, description="When this status last changed.")
    started_at: Timestamp | None = Field(None, description="When the job's first worker started.")
    completed_at: Timestamp | None = Field(None, description="When the job completed.")
    failed_at: Timestamp | None = Field(None, description="When the job failed.")
    cancelled_at: Timestamp | None = Field(None, description="When the request to cancel it was accepted.")
    error: JobError | None = Field(None, description="Why the job cannot go on, if so.")
    message: str | None = Field(None, description="What is going on, in a sentence.")
    progress: str | None = Field(None, description='Inputs done of inputs in all, e.g. "5/8".')
    outputs_url: str | None = Field(None, description="Where the results are.")
    failures: list[InputFailure] | None = Field(None, description=f"The first {MAX_FAILURES} inputs that failed.")
    conditions: list[Condition] | None = Field(
        None,
        description="Admitted, Running, Suspended, Preempted, Complete, Failed (also when cancelled), Finished "
        "(Complete or Failed) and Stalled.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    observedGeneration: int | None = Field(None, description="The generation of the spec that this status is about.")
    ledger: Ledger | None = Field(None, description="What a restarted operator must know. Not for people.")

    @property
    def has_ended(self) -> bool:
        """COMPLETED, FAILED or CANCELLED was written; False before the first write."""
        return self.status is not None and self.status.is_terminal


class BatchJob(ApiModel):
    """One BatchJob as observed: identity, spec and status."""

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    created_at: datetime
    deleting: bool
    spec: BatchJobSpec
    status: BatchJobStatus
    retry_requested: str = ""
    """The value of the annotation; "" where there is none."""
    cancel_requested: str = ""
    kueue_queue: str = ""
    """The value of Kueue's label queue-name on the job; "" where there is none."""
    tracked_by: str = ""
    """The GitOps tool that keeps this object, and would make it again if it were deleted; "" where none does."""
    trimmed: bool = False
    """Inputs and parameters were let go, because the job had ended."""
    problem: str = ""
    """What could not be read of the spec, e.g. of a stored object that predates a rule of the schema."""
    unreadable_status: str = ""
    """What could not be read of the status, e.g. after a downgrade; such a job is left alone."""

    @property
    def policy(self) -> Policy:
        return self.spec.policy or Policy()


_NAME = cel(
    f"self.metadata.name.matches('{KEY_PATTERN}')",
    "metadata.name must be a DNS label of at most 63 characters: it is a part of the pods' names and labels",
)


class BatchJobObject(ApiModel):
    """A batch job whose unit of work is an input file: it runs a pipeline of the registry over input files, and
    its status reads as the batch API's answer."""

    model_config = ConfigDict(json_schema_extra=validations(_NAME, *_SETTLED))

    spec: BatchJobSpec
    status: BatchJobStatus | None = None
