"""What cluster.election takes for granted of a Lease, on the fake and on the real API server; and two candidates on the
real one.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from batch_operator.cluster.client import Client, Object
from batch_operator.cluster.election import Election, Terms
from batch_operator.cluster.errors import Conflict, Invalid, NotFound
from batch_operator.cluster.lead import Lead, NotLeading
from batch_operator.cluster.resource_paths import LEASES
from tests.fakes.either_server import BOTH, Server, new_name, send_other_operators_away, server_of, version


@pytest.fixture(scope="session", autouse=True)
def no_other_operator(request: pytest.FixtureRequest) -> None:
    send_other_operators_away(request)


def lease(server: Server, name: str, holder: str = "a", seconds: int = 15) -> Object:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": server.namespace, "name": name},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": seconds,
            "renewTime": "2026-04-14T10:00:00.000001Z",
        },
    }


class TestLease:
    @pytest.fixture(params=BOTH)
    def server(self, request: pytest.FixtureRequest) -> Server:
        return server_of(request)

    @pytest.fixture
    def name(self) -> str:
        return new_name()

    async def test_a_put_makes_one_that_is_not_there(self, server: Server, name: str) -> None:
        made = await server.client.update(server.path(LEASES, name), lease(server, name))
        assert version(made) > 0
        assert made["spec"]["holderIdentity"] == "a"
        assert made["spec"]["renewTime"] == "2026-04-14T10:00:00.000001Z"

    async def test_a_put_without_a_version_overwrites_nobody_s(self, server: Server, name: str) -> None:
        await server.client.update(server.path(LEASES, name), lease(server, name))
        with pytest.raises(Invalid, match="must be specified for an update"):
            await server.client.update(server.path(LEASES, name), lease(server, name, "b"))

    async def test_a_put_with_an_old_version_is_a_conflict(self, server: Server, name: str) -> None:
        path = server.path(LEASES, name)
        first = await server.client.update(path, lease(server, name))
        second = await server.client.update(path, {**first, "spec": {**first["spec"], "holderIdentity": "b"}})
        assert version(second) > version(first)
        with pytest.raises(Conflict):
            await server.client.update(path, {**first, "spec": {**first["spec"], "holderIdentity": "c"}})

    async def test_a_put_with_the_version_of_a_deleted_one_makes_none(self, server: Server, name: str) -> None:
        path = server.path(LEASES, name)
        made = await server.client.update(path, lease(server, name))
        await server.client.delete(path, uid=made["metadata"]["uid"])
        with pytest.raises(Conflict, match="Precondition failed: UID in precondition"):
            await server.client.update(path, made)
        with pytest.raises(NotFound):
            await server.client.get(path)

    async def test_what_changes_nothing_is_no_write(self, server: Server, name: str) -> None:
        path = server.path(LEASES, name)
        made = await server.client.update(path, lease(server, name))
        assert version(await server.client.update(path, made)) == version(made)

    async def test_one_without_a_holder_is_a_lease_too(self, server: Server, name: str) -> None:
        path = server.path(LEASES, name)
        made = await server.client.update(path, lease(server, name))
        spec = {key: value for key, value in made["spec"].items() if key != "holderIdentity"}
        assert "holderIdentity" not in (await server.client.update(path, {**made, "spec": spec}))["spec"]


class Candidate:
    """`take` and `keep` on the real API server."""

    def __init__(self, client: Client, namespace: str, lease: str, name: str, terms: Terms) -> None:
        self.lead = Lead(terms.renew_deadline)
        self.election = Election(client, (namespace, lease), name, terms, self.lead)
        self.leading = asyncio.Event()
        self.task = asyncio.create_task(self._live())

    async def _live(self) -> None:
        await self.election.take()
        self.leading.set()
        await self.election.keep()

    async def die(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError, NotLeading):
            await self.task


@pytest.mark.contract
class TestTwoCandidates:
    TERMS = Terms(lease=2.0, renew_deadline=1.2, retry=0.25)

    @pytest.fixture
    async def two(self, client: Client, namespace: str) -> AsyncIterator[tuple[Candidate, Candidate]]:
        """`a` leads, `b` waits."""
        name = new_name()
        a = Candidate(client, namespace, name, "a", self.TERMS)
        await asyncio.wait_for(a.leading.wait(), 10)
        b = Candidate(client, namespace, name, "b", self.TERMS)
        yield a, b
        await a.die()
        await b.die()

    async def test_the_second_leads_when_the_first_has_died_and_not_before(
        self, two: tuple[Candidate, Candidate]
    ) -> None:
        a, b = two
        await asyncio.sleep(2 * self.TERMS.lease)  # two terms, in which a renews
        assert (a.lead.held, b.lead.taken) == (True, False)
        died = time.monotonic()
        await a.die()
        await asyncio.wait_for(b.leading.wait(), 10)
        assert not a.lead.held, "it ended by its own clock before the other began"
        waited = time.monotonic() - died
        assert self.TERMS.lease - self.TERMS.retry - 0.1 <= waited <= self.TERMS.lease + self.TERMS.retry + 1

    async def test_what_the_first_gives_away_the_second_takes_at_its_next_look(
        self, two: tuple[Candidate, Candidate]
    ) -> None:
        a, b = two
        await a.die()
        await a.election.release()
        began = time.monotonic()
        await asyncio.wait_for(b.leading.wait(), 10)
        assert time.monotonic() - began <= self.TERMS.retry + 1

    async def test_a_deleted_lease_is_made_again_by_its_leader(
        self, client: Client, namespace: str, two: tuple[Candidate, Candidate]
    ) -> None:
        a, b = two
        path = a.election._path
        found = await client.get(path)
        await client.delete(path, uid=found["metadata"]["uid"])
        await asyncio.sleep(2 * self.TERMS.lease)
        assert (a.lead.held, b.lead.taken) == (True, False)
        assert (await client.get(path))["spec"]["holderIdentity"] == "a"
