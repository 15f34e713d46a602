"""`Election`: one of several operators leads, by a Lease that it renews. Run by handlers.lifecycle.

No clock but one's own is believed, and none is compared with another's: a waiting process takes the lead when it has
seen the Lease unchanged for a whole term, and the leader stops by itself well before that (`lead.Lead`). The times in
the Lease are for people to read. docs/adr/0007 says what follows from that.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog

from batch_operator.cluster.client import Object
from batch_operator.cluster.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound
from batch_operator.cluster.lead import Lead, boot_time
from batch_operator.cluster.resource_paths import LEASES

ABSENT = "absent"
CHANGED_SINCE = (Conflict, AlreadyExists, Invalid)
"""Answers to a write of a Lease that is not as it was read (422: to a PUT that would make it, and it is there)."""

log = structlog.get_logger(__name__)


class LeaseClient(Protocol):
    """The part of the `Client` that is needed here; it has no guard, and gives up well within the deadline."""

    async def get(self, path: str) -> Object: ...
    async def update(self, path: str, obj: Mapping[str, Any]) -> Object: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds. The difference of the first two is what a write may take that was sent in the last moment."""

    lease: float = 15.0
    """A Lease that does not change for so long may be taken."""
    renew_deadline: float = 10.0
    """The leader stops where it could not renew for so long."""
    retry: float = 2.0
    """Between two renewals, and between two looks of one who waits."""

    @property
    def request(self) -> float:
        """A request without an answer by then is given up, so that two of them fit into the deadline."""
        return (self.renew_deadline - self.retry) / 2


@dataclass(frozen=True, slots=True)
class _Sighting:
    version: str
    at: float


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Time:
    """`clock` decides, `now` is only written down."""

    clock: Callable[[], float] = boot_time
    now: Callable[[], datetime] = _utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Election:
    """`take` waits for the lead, `keep` renews it until it is lost, `release` gives it away. One process, one use."""

    def __init__(
        self,
        client: LeaseClient,
        lease: tuple[str, str],
        identity: str,
        terms: Terms,
        lead: Lead,
        time: Time = Time(),
    ) -> None:
        """`lease`: its namespace and name. `identity`: no two living processes may have the same."""
        self._client = client
        self._namespace, self._name = lease
        self._path = LEASES.path(*lease)
        self._identity = identity
        self._terms = terms
        self._lead = lead
        self._clock = time.clock
        self._now = time.now
        self._sleep = time.sleep
        self._lease: Object = {}
        self._seen: _Sighting | None = None
        self._holder: str | None = None
        self._trouble = "not asked for yet"

    def trouble(self) -> str | None:
        """One sentence where the Lease can be neither read nor written, for /readyz."""
        return self._trouble or None

    async def take(self) -> None:
        """Returns when this process leads, however long that takes."""
        while not self._lead.taken:
            try:
                wait = await self.attempt()
                self._trouble = ""
            except ApiError as error:
                self._complain(error, "cannot ask for the lead")
                wait = max(self._terms.retry, error.retry_after or 0.0)
            if not self._lead.taken:
                await self._sleep(wait)

    async def keep(self) -> None:
        """Renews for ever. Raises NotLeading."""
        while True:
            await self._sleep(min(self._terms.retry, self._lead.check()))
            await self.renew()

    async def attempt(self) -> float:
        """One look at the Lease, taking it where it may be taken -> seconds until the next look. Raises ApiError."""
        asked = self._clock()
        lease = await self._read()
        spec = _spec(lease)
        version = str(lease["metadata"]["resourceVersion"]) if lease else ABSENT
        holder = spec.get("holderIdentity")
        never_held = self._seen is None and not holder
        if self._seen is None or version != self._seen.version:
            self._seen = _Sighting(version, self._clock())
        term = max(self._terms.lease, float(spec.get("leaseDurationSeconds") or 0))
        waited = asked - self._seen.at
        if never_held or holder == self._identity or _released(spec) or waited >= term:
            return await self._seize(lease)
        if holder != self._holder:
            self._holder = holder
            log.info("waiting for the lead", reason="Waiting", holder=holder, **self._place())
        return min(self._terms.retry, term - waited)

    async def renew(self) -> None:
        """One renewal; one that fails without telling of another leader is tried again. Raises NotLeading."""
        self._lead.check()
        sent = self._clock()
        try:
            try:
                self._lease = await self._client.update(self._path, self._held(self._lease))
            except (*CHANGED_SINCE, NotFound):
                found = await self._read()
                self._yield_to_another(found)
                sent = self._clock()
                self._lease = await self._client.update(self._path, self._held(found))
        except ApiError as error:
            self._complain(error, "cannot renew the lead")
            return
        self._trouble = ""
        self._lead.renewed(sent)

    async def release(self) -> None:
        """The next one need not wait. Called when nothing of ours writes any more."""
        if not self._lead.held:
            return
        self._lead.lose("the lead was given away")
        try:
            try:
                await self._client.update(self._path, self._free(self._lease))
            except Conflict:  # touched since, as an upgrade of the chart does with its labels
                found = await self._client.get(self._path)
                if _spec(found).get("holderIdentity") == self._identity:
                    await self._client.update(self._path, self._free(found))
            log.info("gave the lead away", reason="Released", **self._place())
        except ApiError as error:
            log.warning("cannot give the lead away; it will run out", reason=type(error).__name__, error=str(error))

    async def _read(self) -> Object | None:
        try:
            return await self._client.get(self._path)
        except NotFound:
            return None

    async def _seize(self, lease: Object | None) -> float:
        sent = self._clock()
        try:
            self._lease = await self._client.update(self._path, self._held(lease))
        except CHANGED_SINCE as error:
            log.info("another was faster to the lead", reason=type(error).__name__, error=str(error), **self._place())
            return self._terms.retry
        self._lead.renewed(sent)
        log.info("took the lead", reason="Leading", identity=self._identity, **self._place())
        return 0.0

    def _yield_to_another(self, found: Object | None) -> None:
        """A Lease that was touched, wiped or deleted is still ours; one with another's name is not."""
        holder = _spec(found).get("holderIdentity")
        if holder and holder != self._identity:
            self._lead.lose(f"the lead is {holder}'s (Lease {self._namespace}/{self._name})")
        self._lead.check()

    def _held(self, lease: Object | None) -> Object:
        """The Lease in our name, renewed now. With the resourceVersion that was read, or, where it is not there, with
        none: a PUT that makes it. RBAC can grant that by name, as it cannot for a POST."""
        before = _spec(lease)
        now = _micro_time(self._now())
        if now == before.get("renewTime"):  # a wall clock that stands or steps back: what changes nothing is no write
            now = _micro_time(self._now() + timedelta(microseconds=1))
        took_over = before.get("holderIdentity") != self._identity
        spec = {
            **before,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, math.ceil(self._terms.lease)),
            "acquireTime": now if took_over else before.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + took_over,
        }
        metadata = lease["metadata"] if lease else {"namespace": self._namespace, "name": self._name}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    def _free(self, lease: Object) -> Object:
        spec = {key: value for key, value in _spec(lease).items() if key != "holderIdentity"}
        return {**lease, "spec": {**spec, "renewTime": _micro_time(self._now())}}

    def _complain(self, error: ApiError, what: str) -> None:
        """Once per trouble, not once per try."""
        words = f"{what}: {error}"
        if words != self._trouble:
            log.warning(what, reason=type(error).__name__, error=str(error), **self._place())
        self._trouble = words

    def _place(self) -> dict[str, str]:
        return {"namespace": self._namespace, "name": self._name}


def _spec(lease: Object | None) -> Mapping[str, Any]:
    return (lease or {}).get("spec") or {}


def _released(spec: Mapping[str, Any]) -> bool:
    """Nobody's, and by its last holder's will: one that was merely emptied may have a leader who believes in it."""
    return not spec.get("holderIdentity") and "renewTime" in spec


def _micro_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
