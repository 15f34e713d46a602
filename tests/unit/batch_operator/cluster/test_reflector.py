import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from typing import Any, TypeVar

import orjson
import pytest

from batch_operator.cluster.client import Client, Listing, Object, Params
from batch_operator.cluster.credentials import Credentials
from batch_operator.cluster.errors import ApiError, Gone, ServerError, Unreachable
from batch_operator.cluster.reflector import Reflector
from batch_operator.cluster.store import RecordStore
from tests.unit.batch_operator.cluster.clocks import FakeTimers
from tests.unit.batch_operator.cluster.scripted_server import ScriptedServer, status
from tests.unit.batch_operator.cluster.test_store import Rec

T = TypeVar("T")
PODS = "/api/v1/pods"


def pod(uid: str, version: int) -> Object:
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}}


def event(kind: str, uid: str, version: int) -> Object:
    return {"type": kind, "object": pod(uid, version)}


def bookmark(version: int) -> Object:
    return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}


def decode(raw: Mapping[str, Any]) -> Rec:
    meta = raw["metadata"]
    if meta["uid"].startswith("poison"):
        raise ValueError("unreadable")
    return Rec(meta["uid"], meta["resourceVersion"], owner_uid="")


class FakeSource:
    """Lists and streams by a script. When the script is at its end a watch hangs, as a quiet one does."""

    def __init__(self) -> None:
        self.lists: deque[tuple[list[Object], int] | ApiError] = deque()
        self.streams: deque[list[Object | ApiError | Callable[[], None]]] = deque()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.exhausted = asyncio.Event()
        self.closed = 0
        self.open_at_list: list[int] = []

    async def list_as(self, path: str, decode: Callable[[Object], T], params: Params | None = None) -> Listing[T]:
        self.open_at_list.append(self.versions().count("list") + self.closed - len(self.asked))
        self.asked.append(("list", dict(params or {})))
        step = self.lists.popleft()
        if isinstance(step, ApiError):
            raise step
        return Listing(tuple(decode(raw) for raw in step[0]), str(step[1]))

    async def watch(
        self, path: str, params: Params | None = None, *, inactivity_seconds: float = 75.0
    ) -> AsyncGenerator[Object, None]:
        self.asked.append(("watch", dict(params or {})))
        try:
            if not self.streams:
                self.exhausted.set()
                await asyncio.Event().wait()
            for step in self.streams.popleft():
                if isinstance(step, ApiError):
                    raise step
                if callable(step):
                    step()
                else:
                    yield step
        finally:
            self.closed += 1

    def versions(self) -> list[str]:
        """The roads taken: "list", or the version that a watch began from."""
        return [params.get("resourceVersion", kind) for kind, params in self.asked]


class Harness:
    def __init__(self) -> None:
        self.source = FakeSource()
        self.clock = FakeTimers()
        self.slept: list[float] = []
        self.store: RecordStore[Rec] = RecordStore()
        self.reflector = Reflector(
            self.source,
            PODS,
            decode,
            self.store,
            params={"labelSelector": "ours"},
            clock=self.clock,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def script(self, lists: Iterable[tuple[list[Object], int] | ApiError], streams: Iterable[list[Any]]) -> None:
        self.source.lists.extend(lists)
        self.source.streams.extend(streams)

    async def play(self) -> None:
        """Runs the reflector until the script has been played."""
        task = asyncio.create_task(self.reflector.run())
        waiting = asyncio.create_task(self.source.exhausted.wait())
        await asyncio.wait({task, waiting}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert not task.done(), task
        assert waiting.done(), "the script was not played to its end"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def uids(self) -> set[str]:
        return {record.uid for record in self.store.values()}


@pytest.fixture
def harness() -> Harness:
    return Harness()


async def test_it_lists_and_then_watches_from_there(harness: Harness) -> None:
    harness.script([([pod("a", 3)], 5)], [[event("ADDED", "b", 6), event("DELETED", "a", 7)]])
    assert not harness.reflector.synced.is_set()
    await harness.play()
    assert harness.reflector.synced.is_set()
    assert harness.uids() == {"b"}
    assert harness.source.versions() == ["list", "5", "7"]
    watch = harness.source.asked[1][1]
    assert watch["labelSelector"] == "ours"
    assert watch["allowWatchBookmarks"] == "true"
    assert 240 <= watch["timeoutSeconds"] <= 300
    assert harness.store.resource_version == "7"
    assert harness.source.closed == 2, "also the stream in hand at the end was closed"


async def test_a_stream_that_ends_is_resumed_at_once_where_it_ended(harness: Harness) -> None:
    harness.script([([], 5)], [[event("ADDED", "a", 6)], [event("ADDED", "b", 9)]])
    await harness.play()
    assert harness.source.versions() == ["list", "5", "6", "9"]
    assert harness.slept == []


async def test_bookmarks_move_the_version(harness: Harness) -> None:
    harness.script([([], 5)], [[event("ADDED", "a", 6), bookmark(40)]])
    await harness.play()
    assert harness.source.versions() == ["list", "5", "40"]
    assert harness.store.resource_version == "40"


async def test_the_version_moves_only_once_the_event_is_in_the_store(harness: Harness) -> None:
    seen: list[tuple[str, str]] = []
    harness.store.subscribe(lambda old, new: seen.append((new.uid if new else "", harness.store.resource_version)))
    harness.script([([], 5)], [[event("ADDED", "a", 6)]])
    await harness.play()
    assert seen == [("a", "5")]
    assert harness.store.resource_version == "6"


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param([Gone(410, "Gone", "too old")], id="refused"),
        pytest.param([event("ADDED", "b", 6), Gone(410, "Expired", "too old")], id="inside-the-stream"),
    ],
)
async def test_410_lists_again_at_once_and_finds_what_was_deleted_meanwhile(
    harness: Harness, stream: list[Any]
) -> None:
    harness.script([([pod("a", 3)], 5), ([pod("b", 6)], 20)], [stream])
    await harness.play()
    assert harness.uids() == {"b"}
    assert harness.source.versions() == ["list", "5", "list", "20"]
    assert harness.slept == []


async def test_410_again_and_again_is_no_tight_loop(harness: Harness) -> None:
    gone = Gone(410, "Gone", "too old")
    harness.script([([], n) for n in range(1, 7)], [[gone]] * 5)
    await harness.play()
    assert len(harness.slept) == 4
    assert harness.slept == sorted(harness.slept)
    assert harness.slept[0] >= 0.4


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Unreachable("connection reset"), id="cut"),
        pytest.param(ServerError(500, "InternalError", "etcd is away"), id="500"),
        pytest.param(ApiError(403, "Forbidden", "no list for you"), id="403"),
    ],
)
async def test_any_other_trouble_waits_and_resumes_without_a_list(harness: Harness, error: ApiError) -> None:
    harness.script([([], 5)], [[event("ADDED", "a", 6), error], [event("ADDED", "b", 7)]])
    await harness.play()
    assert harness.source.versions() == ["list", "5", "6", "7"]
    assert len(harness.slept) == 1
    assert harness.uids() == {"a", "b"}


async def test_a_list_that_fails_is_tried_again_with_growing_waits_up_to_30_s(harness: Harness) -> None:
    harness.script([Unreachable("no route")] * 12 + [([pod("a", 3)], 5)], [])
    await harness.play()
    assert harness.uids() == {"a"}
    assert len(harness.slept) == 12
    assert 0.4 <= harness.slept[0] <= 0.6
    assert all(later > earlier for earlier, later in zip(harness.slept[:6], harness.slept[1:6], strict=False))
    assert 24 <= harness.slept[-1] <= 36


async def test_retry_after_is_honoured(harness: Harness) -> None:
    harness.script([ApiError(429, "TooManyRequests", "slow", retry_after=11.0), ([], 5)], [])
    await harness.play()
    assert harness.slept == [11.0]


async def test_one_good_event_ends_the_back_off(harness: Harness) -> None:
    error = Unreachable("cut")
    harness.script([([], 5)], [[error], [error], [error], [event("ADDED", "a", 6), error]])
    await harness.play()
    assert harness.slept[2] > 1.5
    assert harness.slept[3] < 0.7


async def test_a_server_that_ends_every_stream_at_once_is_not_asked_in_a_tight_loop(harness: Harness) -> None:
    harness.script([([], 5)], [[], [], []])
    await harness.play()
    assert len(harness.slept) == 3


async def test_a_quiet_stream_of_full_length_is_resumed_at_once(harness: Harness) -> None:
    harness.script([([], 5)], [[lambda: harness.clock.advance(270)]])
    await harness.play()
    assert harness.slept == []


async def test_one_unreadable_object_blinds_us_to_no_other(harness: Harness) -> None:
    harness.script(
        [([pod("poison", 2), pod("a", 3)], 5)],
        [[event("MODIFIED", "poison", 6), event("ADDED", "b", 7)]],
    )
    await harness.play()
    assert harness.uids() == {"a", "b"}
    assert harness.source.versions() == ["list", "5", "7"]


async def test_an_object_that_becomes_unreadable_is_not_taken_for_deleted(harness: Harness) -> None:
    harness.store.apply("ADDED", Rec("poison", "1", ""))
    harness.script([([pod("poison", 2)], 5)], [])
    await harness.play()
    assert harness.uids() == {"poison"}


async def test_a_bug_of_ours_is_survived_by_a_fresh_list(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    apply = harness.store.apply

    def broken(kind: str | None, record: Rec) -> None:
        monkeypatch.setattr(harness.store, "apply", apply)
        raise RuntimeError("boom")

    monkeypatch.setattr(harness.store, "apply", broken)
    harness.script([([], 5), ([pod("a", 6)], 7)], [[event("ADDED", "a", 6)]])
    await harness.play()
    assert harness.uids() == {"a"}
    assert harness.source.versions() == ["list", "5", "list", "7"]
    assert harness.source.open_at_list == [0, 0], "the broken stream was closed first"


async def test_trouble_names_what_is_wrong(harness: Harness) -> None:
    assert harness.reflector.trouble() == "pods: not listed yet"
    harness.script([([], 5)], [[bookmark(6), Unreachable("connection reset by peer")]])
    await harness.play()
    assert harness.reflector.trouble() is None
    harness.clock.advance(151)
    assert harness.reflector.trouble() == (
        "pods: no word from the API server for 151 s; last error: connection reset by peer"
    )


async def test_every_word_of_the_server_counts_as_life(harness: Harness) -> None:
    harness.script(
        [([], 5)],
        [[lambda: harness.clock.advance(100), bookmark(6), lambda: harness.clock.advance(100), bookmark(7)]],
    )
    await harness.play()
    assert harness.reflector.last_activity == harness.clock.now


class TestOverHttp:
    """The same against a real client and a server on loopback."""

    @pytest.fixture
    async def server(self) -> AsyncIterator[ScriptedServer]:
        async with ScriptedServer() as server:
            yield server

    async def test_410_half_a_line_and_the_end_of_a_stream(self, server: ScriptedServer) -> None:
        from kubernetes.aio.client.configuration import Configuration

        def line(data: Object) -> bytes:
            return orjson.dumps(data) + b"\n"

        def listed(version: int, *pods: Object) -> Object:
            return {"metadata": {"resourceVersion": str(version)}, "items": list(pods)}

        expired = {"type": "ERROR", "object": status(410, "Expired", "too old resource version")}
        server.answers(listed(5, pod("a", 3), pod("b", 4)))
        server.streams(line(event("ADDED", "c", 6)))  # and the end
        server.streams(line(event("ADDED", "d", 7)) + line(event("ADDED", "e", 8))[:-20])  # half a line
        server.streams(line(event("ADDED", "e", 8)) + line(bookmark(20)), line(expired))
        server.answers(listed(30, pod("a", 3), pod("d", 7), pod("e", 8)))  # b and c were deleted unseen
        server.streams(line(event("MODIFIED", "a", 31)), then="hang")

        store: RecordStore[Rec] = RecordStore()
        done = asyncio.Event()
        store.subscribe(lambda old, new: done.set() if new and new.resource_version == "31" else None)

        async def no_sleep(seconds: float) -> None:
            await asyncio.sleep(0)

        async with Client(Credentials(Configuration(host=server.url))) as client:
            reflector = Reflector(client, PODS, decode, store, sleep=no_sleep)
            task = asyncio.create_task(reflector.run())
            await asyncio.wait_for(done.wait(), 5)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert {record.uid for record in store.values()} == {"a", "d", "e"}
        roads = [seen.query.get("resourceVersion", "list") for seen in server.seen]
        assert roads == ["list", "5", "6", "7", "list", "30"]
