"""Operators that want the lead, on a fake API server: each with clocks of its own, time simulated."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Self

from batch_operator.cluster.election import Election, Terms, Time
from batch_operator.cluster.errors import Unreachable
from batch_operator.cluster.lead import Lead, NotLeading
from batch_operator.cluster.resource_paths import LEASES, NAMESPACES
from tests.fakes.api_server import FakeAPIServer
from tests.fakes.client import FakeClient, Request
from tests.fakes.resource_types import Object

PLACE = ("team-a", "batch-operator")
PATH = LEASES.path(*PLACE)
STEP = 0.25
TURNS = 30  # of the event loop, for all that follows from one moment


class Candidate:
    """One process: `take`, then `keep`, until it ends; `ended` says why."""

    def __init__(self, place: "Candidates", name: str, terms: Terms, uptime: float) -> None:
        self.name = name
        self.skew = timedelta()
        """How wrong its wall clock is."""
        self.reaches_server = True
        self.loses_answers = False
        self.ended = ""
        self._place = place
        self._uptime = uptime
        self._awake = asyncio.Event()
        self._awake.set()
        self.client = FakeClient(place.server, name, self._line)
        self.lead = Lead(terms.renew_deadline, self.clock)
        self.guarded = FakeClient(place.server, name, self._line, self.lead.check)
        time = Time(self.clock, self.now, self._sleep)
        self.election = Election(self.client, PLACE, name, terms, self.lead, time)
        self.task = asyncio.create_task(self._live())

    def clock(self) -> float:
        return self._uptime + self._place.server.clock.time()

    def now(self) -> datetime:
        return self._place.server.clock.now() + self.skew

    def pause(self) -> None:
        """SIGSTOP; also a machine that is suspended."""
        self._awake.clear()

    def resume(self) -> None:
        self._awake.set()

    def kill(self) -> None:
        self.task.cancel()

    async def _live(self) -> None:
        try:
            await self.election.take()
            await self.election.keep()
        except NotLeading as error:
            self.ended = str(error)

    async def _sleep(self, seconds: float) -> None:
        due = asyncio.Event()
        self._place.server.clock.call_after(seconds, due.set)
        await due.wait()
        await self._awake.wait()

    async def _line(self, request: Request, send: Callable[[], Object]) -> Object:
        await self._awake.wait()
        if not self.reaches_server:
            raise Unreachable("no route to the API server")
        answer = send()
        if self.loses_answers and request.verb == "update":
            raise Unreachable("no answer in time")
        return answer


class Candidates:
    """Runs them, and sees to it that never two lead at once."""

    def __init__(self, terms: Terms | None = None) -> None:
        self.server = FakeAPIServer()
        self.server.create(NAMESPACES.path(), {"metadata": {"name": PLACE[0]}})
        self.terms = terms or Terms()
        self.all: list[Candidate] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for candidate in self.all:
            candidate.task.cancel()
            with suppress(asyncio.CancelledError):
                await candidate.task

    async def start(self, name: str) -> Candidate:
        candidate = Candidate(self, name, self.terms, uptime=1000.0 * (len(self.all) + 1))
        self.all.append(candidate)
        await self._settle()
        return candidate

    @property
    def leader(self) -> str:
        """Who leads; "" for nobody. A killed process leads no more, whatever its Lead would say."""
        leaders = [c.name for c in self.all if c.lead.held and not c.task.done()]
        assert len(leaders) < 2, f"{leaders} lead at once at {self.server.clock.time()} s"
        return leaders[0] if leaders else ""

    @property
    def lease(self) -> Object:
        return self.server.get(PATH)

    async def run_for(self, seconds: float) -> set[str]:
        """-> who led meanwhile ("": nobody, for a time)."""
        leaders = {self.leader}
        for _ in range(int(seconds / STEP)):
            self.server.clock.advance(STEP)
            await self._settle()
            leaders.add(self.leader)
        return leaders

    async def until_leader(self, name: str, at_most: float = 60) -> float:
        """-> seconds until this one leads."""
        began = self.server.clock.time()
        while self.leader != name:
            assert self.server.clock.time() - began < at_most, f"{name} does not lead after {at_most} s"
            await self.run_for(STEP)
        return self.server.clock.time() - began

    async def _settle(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
