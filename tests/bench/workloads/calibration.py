"""What must not be the limit, each alone: kwok with pods that are bound already, and the submitter with nobody to take
its jobs."""

import asyncio

from tests.bench import own_writes
from tests.bench.contender import JOB_NAME, Object, Shape
from tests.bench.contenders import operator_objects
from tests.bench.figures import job_of
from tests.bench.ground import NODES, Ground
from tests.bench.runs import AFTERWARDS_SECONDS, Record
from tests.bench.submitter import Submitter
from tests.bench.watching import following

_SECONDS = 300.0


async def kwok(ground: Ground, pods: int) -> Record:
    """From the first of them until the last one has succeeded."""
    namespace = await ground.make_namespace()
    path = f"/api/v1/namespaces/{namespace}/pods"
    spec = own_writes.pod_spec(0.0)
    bodies: list[Object] = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": JOB_NAME % number},
            "spec": {**spec, "nodeName": f"fake-{number % NODES}"},
        }
        for number in range(pods)
    ]
    succeeded: set[str] = set()
    done = asyncio.Event()

    def seen(kind: str, pod: Object) -> None:
        if pod["status"].get("phase") == "Succeeded":
            succeeded.add(pod["metadata"]["name"])
            if len(succeeded) == pods:
                done.set()

    log = ground.audit()
    try:
        async with following(ground.upstream, path, seen):
            submitter = await Submitter.start(ground, path, bodies)
            try:
                await submitter.submit()
                await asyncio.wait_for(done.wait(), _SECONDS)
            finally:
                await submitter.end()
        await asyncio.sleep(AFTERWARDS_SECONDS)
        entries = [e for e in log.new() if e.namespace == namespace and e.is_write and e.held and job_of(e.name)]
    finally:
        await ground.empty(namespace)
    began = min(e.received for e in entries if e.resource == "pods")
    ended = max(e.done for e in entries if e.resource == "pods/status")
    return {"pods": pods, "seconds": ended - began, "pods_per_s": pods / (ended - began)}


async def submitter(ground: Ground, jobs: int) -> Record:
    """BatchJobs that nobody takes."""
    await ground.apply(*operator_objects.crds())
    namespace = await ground.make_namespace()
    bodies = [own_writes.manifest(JOB_NAME % number, Shape(1)) for number in range(jobs)]
    path = f"/apis/{bodies[0]['apiVersion']}/namespaces/{namespace}/batchjobs"
    process = await Submitter.start(ground, path, bodies)
    try:
        said = await process.submit()
    finally:
        await process.end()
        await ground.empty(namespace, path)
    return {"jobs": jobs, "seconds": said.seconds, "jobs_per_s": jobs / said.seconds, "cpu_seconds": said.cpu_seconds}
