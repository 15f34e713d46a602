"""Two real operator processes on the real API server: who works when the other is killed, stopped, or ended."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from batch_operator.cluster.client import Client
from batch_operator.cluster.errors import NotFound
from batch_operator.cluster.resource_paths import BATCH_JOBS, LEASES, PIPELINES, PODS
from tests.builders import make_pipeline_spec, make_spec
from tests.cluster.connection import Connection
from tests.contract.operator_processes import OperatorProcess, Operators, Recorder, measured

pytestmark = [pytest.mark.contract, pytest.mark.usefixtures("crds"), pytest.mark.timeout(120)]

Record = Callable[[str, object], None]
SHORT = {"lease_seconds": 4, "lease_deadline_seconds": 2.5, "lease_retry_seconds": 0.5}
"""Terms for the tests that do not measure the default ones."""


class Cluster:
    """What a user sees: the Lease, jobs and pods of one namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    async def apply(self, name: str) -> None:
        job = {"apiVersion": "batch-operator.dev/v1alpha1", "kind": "BatchJob", "metadata": {"name": name}}
        await self.client.create(BATCH_JOBS.path(self.namespace), {**job, "spec": make_spec()})

    async def status(self, name: str) -> str:
        job = await self.client.get(BATCH_JOBS.path(self.namespace, name))
        return str(job.get("status", {}).get("status", ""))

    async def pods(self, name: str) -> list[str]:
        selector = {"labelSelector": f"batch-operator.dev/job-name={name}"}
        listing = await self.client.list(PODS.path(self.namespace), selector)
        return sorted(pod["metadata"]["name"] for pod in listing.items)

    async def holder(self) -> str:
        try:
            lease = await self.client.get(LEASES.path(self.namespace, "batch-operator"))
        except NotFound:
            return ""
        return str(lease["spec"].get("holderIdentity", "")).partition("_")[0]

    async def works(self, name: str) -> bool:
        """Whether somebody has admitted the job and made its two pods."""
        return await self.status(name) == "ADMITTED" and len(await self.pods(name)) == 2


async def until(what: str, true: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not await true():
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"{what}: not so after {seconds:.0f} s")


@pytest.fixture
async def cluster_of(client: Client, make_namespace: Callable[[], str]) -> Cluster:
    """A namespace of its own with a pipeline in its registry; its pods fit no node."""
    seen = Cluster(client, make_namespace())
    spec = make_pipeline_spec()
    spec["components"]["worker"]["node_selector"] = {"example.org/no-such-node": "true"}
    pipeline = {"apiVersion": "batch-operator.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "classify"}}
    await client.create(PIPELINES.path(seen.namespace), {**pipeline, "spec": spec})
    return seen


@pytest.fixture
def operators(
    cluster: Connection, cluster_of: Cluster, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Operators]:
    """With the default terms, or those that the test is given as parameter."""
    started = Operators(cluster.kubeconfig, cluster_of.namespace, tmp_path, **getattr(request, "param", {}))
    yield started
    started.end()


@pytest.fixture
async def proxy(client: Client, tmp_path: Path) -> AsyncIterator[Recorder]:
    recorder = Recorder(client, tmp_path)
    yield recorder
    await recorder.close()


async def leads(cluster_of: Cluster, operator: OperatorProcess) -> bool:
    return await cluster_of.holder() == operator.name


async def waits(operator: OperatorProcess) -> bool:
    return any(line.get("reason") == "Waiting" for line in operator.log)


async def any_leads(cluster_of: Cluster, *operators: OperatorProcess) -> bool:
    return await cluster_of.holder() in {operator.name for operator in operators}


async def both(*conditions: Awaitable[bool]) -> bool:
    return all([await condition for condition in conditions])


async def test_after_kill_9_of_the_leader_the_other_works_within_20_seconds(
    cluster_of: Cluster, operators: Operators, record_property: Record
) -> None:
    first = operators.start("first")
    second = operators.start("second")
    await until("one of them leads", lambda: any_leads(cluster_of, first, second))
    leader, other = (first, second) if await leads(cluster_of, first) else (second, first)
    await cluster_of.apply("before")
    await until("the leader works", lambda: cluster_of.works("before"))
    await until("the other one waits", lambda: waits(other))

    # it is ready, and watches nothing
    assert (await other.answer("/readyz"))[0] == (await other.answer("/healthz"))[0] == 200
    metrics = (await other.answer("/metrics"))[1]
    assert "batch_operator_leader 0.0" in metrics
    assert "batch_operator_watch_last_activity_seconds{" not in metrics
    assert 'verb="list"' not in metrics
    assert "batch_operator_leader 1.0" in (await leader.answer("/metrics"))[1]

    with measured(record_property, "seconds from kill -9 to the next job's pods") as passed:
        leader.kill()
        await cluster_of.apply("after")
        await until("the other one works", lambda: cluster_of.works("after"), 25)
        took = passed()
    print(f"from kill -9 to the next job's pods: {took:.1f} s")
    assert took <= 20
    assert await leads(cluster_of, other)


async def test_at_sigterm_the_lead_is_handed_over_at_once(
    cluster_of: Cluster, operators: Operators, record_property: Record
) -> None:
    first = operators.start("first")
    await until("the first one leads", lambda: leads(cluster_of, first))
    second, third = operators.start("second"), operators.start("third")
    await until("the others wait", lambda: both(waits(second), waits(third)))

    third.process.terminate()
    assert await asyncio.to_thread(third.process.wait, 5) == 0, "also while it waits"
    assert await leads(cluster_of, first)

    with measured(record_property, "seconds from SIGTERM to the next job's pods") as passed:
        first.process.terminate()
        await cluster_of.apply("next")
        await until("the second one works", lambda: cluster_of.works("next"))
        took = passed()
    print(f"from SIGTERM to the next job's pods: {took:.1f} s")
    assert took <= 5
    assert await asyncio.to_thread(first.process.wait, 10) == 0


@pytest.mark.parametrize("operators", [SHORT], indirect=True, ids=["short-terms"])
async def test_a_leader_that_was_stopped_and_wakes_up_writes_nothing_and_ends(
    cluster_of: Cluster, operators: Operators, proxy: Recorder
) -> None:
    old = operators.start("old", await proxy.start())
    await until("the old one leads", lambda: leads(cluster_of, old))
    await cluster_of.apply("first")
    await until("the old one works", lambda: cluster_of.works("first"))
    old.stop()
    new = operators.start("new")
    await cluster_of.apply("second")
    await until("the new one works", lambda: cluster_of.works("second"))
    made = {name: await cluster_of.pods(name) for name in ("first", "second")}
    new.kill()  # so that what follows would be the old one's to do, if it might
    await cluster_of.apply("third")
    proxy.writes.clear()

    old.go_on()
    assert await asyncio.to_thread(old.process.wait, 15) == 1
    assert proxy.writes == []
    assert await cluster_of.status("third") == ""
    assert {name: await cluster_of.pods(name) for name in made} == made
    (last,) = [line for line in old.log if line["level"] in ("critical", "error")]
    assert last["reason"] == "LeadLost"
    assert "its deadline is 2.5 s" in last["error"]

    newest = operators.start("newest")
    await until("the newest one works", lambda: cluster_of.works("third"))
    assert await leads(cluster_of, newest)
