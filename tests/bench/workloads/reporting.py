"""One job of 10,000 inputs whose 32 workers report over the progress endpoint, each with its own pod's token."""

import asyncio
import json
import socket
import ssl
import time
from collections import Counter

import aiohttp

from batch_operator.api import names, ranges
from tests.bench.contender import ENDLESS, JOB_NAME, Shape
from tests.bench.contenders.line_up import OPERATOR
from tests.bench.contenders.operator_objects import SUCCEEDED
from tests.bench.contenders.this_operator import ThisOperator
from tests.bench.figures import nearest_rank
from tests.bench.ground import Ground
from tests.bench.processes import cpu_seconds
from tests.bench.runs import AFTERWARDS_SECONDS, Record, Stage, stage
from tests.faults.upstream import Object

WORKERS = 32
REPORTS = 20
"""Of each worker, one a second: five times as often as the contract allows, as if inputs ended all the time."""
SEEN_SECONDS = 60.0
HOST = "127.0.0.1"


class _Running(ThisOperator):
    def outcome(self, job: Object) -> str:
        state = (job.get("status") or {}).get("status", "")
        return SUCCEEDED if state == "RUNNING" else super().outcome(job)


async def run(ground: Ground, inputs: int) -> Record:
    port = _free_port()
    settings = {"progress_url": f"https://{HOST}:{port}", "progress_port": port}
    contender = _Running(OPERATOR, settings=settings)
    await contender.prepare(ground)
    async with stage(ground, contender, Shape(WORKERS, ENDLESS, inputs)) as up:
        await up.submit(up.jobs(1))
        await up.outcomes.until(1, 120.0)
        found = (await ground.ask("GET", f"/api/v1/namespaces/{up.namespace}/pods"))["items"]
        pods = [pod for pod in found if pod["metadata"]["name"].startswith(JOB_NAME % 0)]
        context = ssl.create_default_context(cadata=await _authority(up))
        before, computed = len(up.read_audit()), cpu_seconds(contender.pids)
        url = f"https://{HOST}:{port}{names.PROGRESS_PATH}"
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            began = time.monotonic()
            workers = await asyncio.gather(*(_work(up, session, url, pod) for pod in pods))
        ended = time.monotonic()
        await _all_told(up, inputs)
        seen_after = time.monotonic() - ended
        computed = cpu_seconds(contender.pids) - computed
        await asyncio.sleep(AFTERWARDS_SECONDS)
        own = [e for e in up.read_audit()[before:] if contender.is_own(e)]
    answers = Counter(code for answered in workers for code, _ in answered)
    took = [seconds for answered in workers for _, seconds in answered]
    return {
        "inputs": inputs,
        "workers": len(pods),
        "reports": len(took),
        "seconds": ended - began,
        "answers": {str(code): count for code, count in answers.items()},
        "answer_p50": nearest_rank(took, 0.5),
        "answer_p99": nearest_rank(took, 0.99),
        "cpu_ms_per_report": 1000 * computed / len(took),
        "status_writes": sum(e.is_write and e.resource == "batchjobs/status" for e in own),
        "token_reviews": sum(e.resource == "tokenreviews" for e in own),
        "told_after": seen_after,
    }


async def _work(up: Stage, session: aiohttp.ClientSession, url: str, pod: Object) -> list[tuple[int, float]]:
    """One pod's worker -> (code, seconds) of each answer."""
    token = await _token(up, pod)
    block = sorted(ranges.parse(pod["metadata"]["annotations"][names.INPUTS_ANNOTATION]))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answers = []
    for number in range(1, REPORTS + 1):
        done = block[: len(block) * number // REPORTS]
        body = {"completed": ranges.format_ranges(done), "processing": "", "failed": "", "reasons": {}}
        items = {"done": len(done), "total": len(block), "failed": 0}
        began = time.monotonic()
        async with session.post(url, data=json.dumps({**body, "items": items}), headers=headers) as answer:
            answers.append((answer.status, time.monotonic() - began))
        await asyncio.sleep(max(1.0 - (time.monotonic() - began), 0.0))
    return answers


async def _token(up: Stage, pod: Object) -> str:
    """As the kubelet would ask for it."""
    meta = pod["metadata"]
    bound = {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
    spec = {"audiences": [names.TOKEN_AUDIENCE], "expirationSeconds": 3600, "boundObjectRef": bound}
    path = f"/api/v1/namespaces/{up.namespace}/serviceaccounts/default/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return str((await up.ground.ask("POST", path, body))["status"]["token"])


async def _authority(up: Stage) -> str:
    """As a pod finds it in its ConfigMap."""
    found = (await up.ground.ask("GET", f"/api/v1/namespaces/{up.namespace}/configmaps"))["items"]
    return str(next(m["data"][names.CA_FILE_KEY] for m in found if m["metadata"]["name"].startswith(JOB_NAME % 0)))


async def _all_told(up: Stage, inputs: int) -> None:
    path = f"{up.contender.collection(up.namespace)}/{JOB_NAME % 0}"
    deadline = time.monotonic() + SEEN_SECONDS
    while True:
        status = (await up.ground.ask("GET", path)).get("status") or {}
        completed = (status.get("input_progress") or {}).get("completed", 0)
        if completed == inputs:
            return
        assert time.monotonic() < deadline, f"status tells of {completed} of {inputs} completed inputs"
        await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
