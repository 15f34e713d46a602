"""What this operator writes for one job, found by asking its own pure core: the script of the bare contenders.

So 0b writes what the operator writes, byte for byte but for names, also after the operator has changed. A job's name
and uid, and its resourceVersion in patches, are placeholders; whoever plays the script puts them in. Called by
contenders.bare; the Pipeline and the jobs of this operator are made here too, so that both ask for the same.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from batch_operator.api import names
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.cluster import merge_patch
from batch_operator.reconcile.plan import Plan
from batch_operator.reconcile.status_write import as_written
from batch_operator.snapshot import JobSnapshot, PipelineRecord, RuleSettings, decode_pod
from tests.bench.contender import ENDLESS, GPU, JOB_NAME, Object, Shape, pod_image
from tests.builders import NOW, after, files, make_batchjob, make_pipeline_spec, reconcile, seconds

NAME = JOB_NAME % 99_999
"""Placeholder: of the length that all jobs' names have, as the resourceVersion's is of no length."""
UID = "ffffffff-1111-4222-8333-444444444444"
VERSION = "@resourceVersion@"
NAMESPACE = "@namespace@"
DURATIONS = (0.0, 0.2, ENDLESS)
MOST_PODS = 1000
"""Of one component: a job of more pods has more components."""


@dataclass(frozen=True)
class OwnWrites:
    """Bodies with placeholders. `patches`: of status, at first sight, when a pod runs, at the end; "" for none."""

    configmap: str
    pods: list[str]
    patches: tuple[str, str, str]
    end: str
    """All three in one."""


def components(shape: Shape) -> dict[str, int]:
    """Names of a job's components -> how many pods each has; a job of 2,000 pods has two, each of a thousand."""
    count = -(-shape.pods // MOST_PODS)
    each, more = divmod(shape.pods, count)
    return {f"worker{number or ''}": each + (number < more) for number in range(count)}


def pipeline(shape: Shape, **placement: Any) -> Object:
    """Of jobs of such pods. `placement`: of its components, e.g. a node_selector."""
    worker = {
        "image": pod_image(shape.seconds),
        "max_parallelism": MOST_PODS,
        "resources": {"gpu": {"count": 1}, "cpu": "100m", "memory": "64Mi"},
        **placement,
    }
    parts = components(shape)
    ports = [
        {"name": f"{name}.inference", "distribute": "scatter", "tracked": True, "required": True} for name in parts
    ]
    spec = make_pipeline_spec(
        key=_key(shape),
        components=dict.fromkeys(parts, worker),
        input_ports=ports,
        output_ports=[{"name": f"{name}.results"} for name in parts],
        user_config_schema=None,
        default_config=None,
    )
    return {"apiVersion": names.API_VERSION, "kind": "Pipeline", "metadata": {"name": _key(shape)}, "spec": spec}


def _key(shape: Shape) -> str:
    return f"bench-{pod_image(shape.seconds).partition(':')[2]}-{len(components(shape))}"


def job_spec(shape: Shape, queue: str = "") -> Object:
    parts = components(shape)
    inputs = shape.inputs or shape.pods
    spec = {
        "pipeline_type": "batch",
        "pipeline_key": _key(shape),
        "inputs": {f"{name}.inference": files(inputs * pods // shape.pods) for name, pods in parts.items()},
        "parameters": {name: {"parallelism": pods} for name, pods in parts.items()},
        "policy": {"grace_seconds": 0},
    }
    return spec | ({"queue": queue} if queue else {})


def manifest(name: str, shape: Shape, queue: str = "") -> Object:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "BatchJob",
        "metadata": {"name": name},
        "spec": job_spec(shape, queue),
    }


def of(shape: Shape, **placement: Any) -> OwnWrites:
    """Plays one job through the operator's core: first sight, its pods run, its pods have succeeded."""
    spec = pipeline(shape, **placement)["spec"]
    record = PipelineRecord("pipeline-uid", NAMESPACE, _key(shape), "5", spec)
    seen = JobSnapshot(pipelines=(record,), org_id=NAMESPACE, settings=RuleSettings())
    job = make_batchjob(job_spec(shape), namespace=NAMESPACE, name=NAME, uid=UID)
    first = reconcile(job, seen, NOW)
    if first.configmap is None or first.job_file is None or len(first.pods) != shape.pods:
        raise LookupError(f"the operator's first plan for a job of {shape.pods} pods is not one of that: {first}")
    manifests = list(first.pods)
    admitted = after(job, first)
    runs = tuple(_seen(pod, "Running") for pod in manifests)
    middle = reconcile(admitted, _with(seen, runs, first), NOW + seconds(1))
    running = after(admitted, middle)
    done = tuple(_seen(pod, "Succeeded") for pod in manifests)
    last = reconcile(running, _with(seen, done, first), NOW + seconds(2))
    if last.status is None or not last.status.status or not last.status.status.is_terminal:
        raise LookupError(f"the operator's plan for a job whose pods succeeded does not end it: {last}")
    return OwnWrites(
        configmap=json.dumps(first.configmap),
        pods=[json.dumps(pod) for pod in manifests],
        patches=(_patch(job, first), _patch(admitted, middle), _patch(running, last)),
        end=_patch(job, last),
    )


def _with(seen: JobSnapshot, pods: Any, plan: Plan) -> JobSnapshot:
    return replace(seen, pods=pods, job_file=plan.job_file)


def _seen(pod: Object, phase: str) -> Any:
    """The pod's record once it has got so far."""
    name = pod["metadata"]["name"]
    times = {"startedAt": "2026-04-14T10:00:01Z"}
    state = {"running": times} if phase == "Running" else {"terminated": {**times, "exitCode": 0}}
    status = {"phase": phase, "containerStatuses": [{"name": names.CONTAINER_NAME, "state": state}]}
    metadata = pod["metadata"] | {"uid": f"uid-{name}", "resourceVersion": "9"}
    metadata["creationTimestamp"] = "2026-04-14T10:00:00Z"
    return decode_pod({**pod, "metadata": metadata, "spec": {**pod["spec"], "nodeName": "fake-0"}, "status": status})


def _patch(job: BatchJob, plan: Plan) -> str:
    if plan.status is None:
        return ""
    difference = merge_patch.difference(as_written(job.status), as_written(plan.status))
    return json.dumps({"metadata": {"resourceVersion": VERSION}, "status": difference})


def pod_spec(duration: float) -> Object:
    """The spec of a pod as this operator makes it, for the pod templates of peers: the scheduler, the API server and
    kwok have as much to do with each."""
    spec: Object = json.loads(of(Shape(1, duration)).pods[0])["spec"]
    assert spec["containers"][0]["resources"]["requests"][GPU] == "1", "each pod asks for one GPU"
    return spec
