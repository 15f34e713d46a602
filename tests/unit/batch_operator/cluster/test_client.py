import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, ClassVar

import orjson
import pytest
from kubernetes.aio.client.configuration import Configuration

from batch_operator.cluster import errors
from batch_operator.cluster.client import Client, Object
from batch_operator.cluster.credentials import Credentials
from batch_operator.cluster.lead import NotLeading
from tests.unit.batch_operator.cluster.scripted_server import ScriptedServer, make_client, status

PODS = "/api/v1/pods"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def client(server: ScriptedServer) -> AsyncIterator[Client]:
    async with make_client(server.url) as client:
        yield client


def event(kind: str, name: str, version: int) -> bytes:
    meta = {"name": name, "resourceVersion": str(version)}
    return orjson.dumps({"type": kind, "object": {"metadata": meta}}) + b"\n"


async def watched(client: Client, **options: Any) -> list[str]:
    """The names that a watch gives out until its end."""
    async with aclosing(client.watch(PODS, {"resourceVersion": "1"}, **options)) as stream:
        return [raw["object"]["metadata"]["name"] async for raw in stream]


async def test_get_sends_our_token_and_returns_the_decoded_object(server: ScriptedServer, client: Client) -> None:
    server.answers({"metadata": {"name": "a"}})
    assert await client.get("/api/v1/namespaces/x/pods/a", {"pretty": False}) == {"metadata": {"name": "a"}}
    seen = server.seen[0]
    assert (seen.method, seen.path, seen.query) == ("GET", "/api/v1/namespaces/x/pods/a", {"pretty": "false"})
    assert seen.headers["Authorization"] == "Bearer secret"
    assert seen.headers["Accept"] == "application/json"


async def test_create_posts_the_object(server: ScriptedServer, client: Client) -> None:
    server.answers({"metadata": {"uid": "u1"}}, status=201)
    assert (await client.create(PODS, {"kind": "Pod", "snow": "☃"}))["metadata"]["uid"] == "u1"
    assert (server.seen[0].method, server.seen[0].body) == ("POST", {"kind": "Pod", "snow": "☃"})


async def test_what_orjson_refuses_is_sent_all_the_same(server: ScriptedServer, client: Client) -> None:
    deep: Any = "☃"
    for _ in range(300):
        deep = {"deeper": deep}
    server.answers({}, status=201)
    await client.create(PODS, deep)
    assert server.seen[0].body == deep


async def test_the_configuration_s_proxy_is_used(server: ScriptedServer) -> None:
    configuration = Configuration(host="http://api.test")
    configuration.proxy = server.url
    server.answers({})
    async with Client(Credentials(configuration)) as client:
        await client.get(PODS)
    assert server.seen[0].headers["Host"] == "api.test"


async def test_update_puts_the_whole_object(server: ScriptedServer, client: Client) -> None:
    server.answers({})
    await client.update(f"{PODS}/a", {"metadata": {"resourceVersion": "7"}})
    assert (server.seen[0].method, server.seen[0].body) == ("PUT", {"metadata": {"resourceVersion": "7"}})


async def test_patch_status_is_a_merge_patch_of_the_subresource(server: ScriptedServer, client: Client) -> None:
    server.answers({})
    patch = {"metadata": {"resourceVersion": "7"}, "status": {"status": "RUNNING", "error": None}}
    await client.patch_status("/apis/g/v1/namespaces/x/batchjobs/a", patch)
    seen = server.seen[0]
    assert (seen.method, seen.path) == ("PATCH", "/apis/g/v1/namespaces/x/batchjobs/a/status")
    assert seen.headers["Content-Type"] == "application/merge-patch+json"
    assert seen.body == patch


@pytest.mark.parametrize(
    ("options", "body"),
    [
        pytest.param({}, {"preconditions": {"uid": "u1"}}, id="uid"),
        pytest.param({"grace_seconds": 0}, {"preconditions": {"uid": "u1"}, "gracePeriodSeconds": 0}, id="grace-0"),
        pytest.param({"resource_version": "9"}, {"preconditions": {"uid": "u1", "resourceVersion": "9"}}, id="version"),
    ],
)
async def test_delete_carries_its_preconditions(
    server: ScriptedServer, client: Client, options: dict[str, Any], body: Object
) -> None:
    server.answers({})
    await client.delete(f"{PODS}/a", uid="u1", **options)
    assert server.seen[0].method == "DELETE"
    assert server.seen[0].body == {"apiVersion": "v1", "kind": "DeleteOptions"} | body


def page(names: str, version: int = 5, token: str = "") -> Object:
    items = [{"metadata": {"name": name}} for name in names]
    return {"metadata": {"resourceVersion": str(version), "continue": token}, "items": items}


def names(items: tuple[Object, ...]) -> str:
    return "".join(item["metadata"]["name"] for item in items)


async def test_list_follows_the_continue_tokens(server: ScriptedServer, client: Client) -> None:
    server.answers(page("ab", token="t1"))
    server.answers(page("cd", token="t2"))
    server.answers(page("e"))
    listing = await client.list(PODS, {"labelSelector": "app=x,tier in (a,b)"})
    assert (names(listing.items), listing.resource_version) == ("abcde", "5")
    assert [seen.query.get("continue") for seen in server.seen] == [None, "t1", "t2"]
    assert {seen.query["limit"] for seen in server.seen} == {"500"}
    assert {seen.query["labelSelector"] for seen in server.seen} == {"app=x,tier in (a,b)"}


async def test_the_next_page_is_asked_for_before_this_one_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    course: list[str] = []
    pages = {"": page("ab", token="t1"), "t1": page("c")}

    async def answer(_: Client, verb: str, method: str, path: str, asked: dict[str, str], **more: Any) -> bytes:
        course.append(f"ask {asked.get('continue', '')}")
        return orjson.dumps(pages[asked.get("continue", "")])

    monkeypatch.setattr(Client, "_body", answer)
    client = Client(Credentials(Configuration()))
    await client.list_as(PODS, lambda item: course.append(item["metadata"]["name"]))
    assert course == ["ask ", "ask t1", "a", "b", "c"]


async def test_a_list_whose_token_expired_begins_again_and_holds_nothing_twice(
    server: ScriptedServer, client: Client
) -> None:
    server.answers(page("ab", version=5, token="t1"))
    server.answers(status(410, "Expired", "token expired"), status=410)
    server.answers(page("bc", version=9))
    listing = await client.list(PODS)
    assert (names(listing.items), listing.resource_version) == ("bc", "9")


async def test_a_list_that_expires_three_times_is_asked_for_in_one_piece(
    server: ScriptedServer, client: Client
) -> None:
    for _ in range(3):
        server.answers(page("ab", token="t1"))
        server.answers(status(410, "Expired", "token expired"), status=410)
    server.answers(page("abc"))
    assert names((await client.list(PODS)).items) == "abc"
    assert "limit" not in server.seen[-1].query


async def test_list_as_decodes_each_item(server: ScriptedServer, client: Client) -> None:
    server.answers(page("ab"))
    assert (await client.list_as(PODS, lambda raw: raw["metadata"]["name"])).items == ("a", "b")


async def test_an_empty_list_may_have_items_null(server: ScriptedServer, client: Client) -> None:
    server.answers({"metadata": {"resourceVersion": "3"}, "items": None})
    assert (await client.list(PODS)).items == ()


async def test_a_refusal_is_raised_in_the_server_s_words_and_not_repeated(
    server: ScriptedServer, client: Client
) -> None:
    server.answers(status(503, "ServiceUnavailable", "come back"), status=503, headers={"Retry-After": "4"})
    with pytest.raises(errors.ServerError, match="^come back$") as caught:
        await client.get(PODS)
    assert caught.value.retry_after == 4.0
    assert len(server.seen) == 1


async def test_a_refusal_that_is_no_json_keeps_its_code(server: ScriptedServer, client: Client) -> None:
    server.answers(b"<html>no</html>", status=502)
    with pytest.raises(errors.ServerError, match="502 Bad Gateway: <html>no</html>"):
        await client.get(PODS)


async def test_an_answer_that_is_no_json_is_no_answer(server: ScriptedServer, client: Client) -> None:
    server.answers(b'{"half": ')
    with pytest.raises(errors.Unreachable, match="not JSON"):
        await client.get(PODS)


async def test_a_server_that_is_not_there_is_unreachable() -> None:
    async with ScriptedServer() as server:
        url = server.url
    async with make_client(url) as client:
        with pytest.raises(errors.Unreachable, match="GET /api/v1/pods"):
            await client.get(PODS)


async def test_a_server_that_does_not_answer_is_unreachable(server: ScriptedServer) -> None:
    server.hangs()
    async with make_client(server.url, request_seconds=0.05) as client:
        with pytest.raises(errors.Unreachable, match="no answer in time|[Tt]imeout"):
            await client.get(PODS)


async def test_each_request_is_observed_once_with_its_verb_resource_and_code(server: ScriptedServer) -> None:
    observed: list[tuple[str, str, str]] = []
    async with make_client(server.url, on_request=lambda *words: observed.append(words[:3])) as client:
        server.answers(page("a"))
        await client.list(PODS)
        server.answers(status(409, "AlreadyExists", "there"), status=409)
        with pytest.raises(errors.AlreadyExists):
            await client.create("/api/v1/namespaces/x/pods", {})
        server.streams()
        assert await watched(client) == []
        await server.__aexit__()
        with pytest.raises(errors.Unreachable):
            await client.patch_status("/apis/g/v1/namespaces/x/batchjobs/a", {})
    assert observed == [
        ("list", "pods", "200"),
        ("create", "pods", "409"),
        ("watch", "pods", "200"),
        ("patch", "batchjobs/status", "0"),
    ]


async def test_watch_gives_out_events_however_they_are_cut_into_packets(server: ScriptedServer, client: Client) -> None:
    data = event("ADDED", "a", 2) + event("MODIFIED", "b", 3) + event("DELETED", "c", 4)
    server.streams(data[:7], data[7:60], data[60:])
    assert await watched(client) == ["a", "b", "c"]
    assert server.seen[0].query == {"resourceVersion": "1", "watch": "true"}


async def test_watch_takes_an_event_larger_than_any_buffer(server: ScriptedServer, client: Client) -> None:
    server.streams(event("ADDED", "x" * 3_000_000, 2))
    assert [len(name) for name in await watched(client)] == [3_000_000]


async def test_watch_raises_an_error_event_as_what_it_is(server: ScriptedServer, client: Client) -> None:
    gone = {"type": "ERROR", "object": status(410, "Expired", "too old resource version: 1 (9)")}
    server.streams(event("ADDED", "a", 2), orjson.dumps(gone) + b"\n")
    with pytest.raises(errors.Gone, match="too old resource version"):
        await watched(client)


async def test_watch_raises_a_refusal_before_the_stream(server: ScriptedServer, client: Client) -> None:
    server.answers(status(410, "Gone", "too old"), status=410)
    with pytest.raises(errors.Gone):
        await watched(client)


@pytest.mark.parametrize("then", ["end", "cut"])
async def test_a_stream_that_ends_inside_an_event_is_broken(server: ScriptedServer, client: Client, then: str) -> None:
    server.streams(event("ADDED", "a", 2), event("ADDED", "b", 3)[:-9], then=then)
    async with aclosing(client.watch(PODS)) as stream:
        assert (await anext(stream))["object"]["metadata"]["name"] == "a"
        with pytest.raises(errors.Unreachable, match="watch of pods broke"):
            await anext(stream)


async def test_a_silent_watch_is_given_up(server: ScriptedServer, client: Client) -> None:
    server.streams(event("ADDED", "a", 2), then="hang")
    with pytest.raises(errors.Unreachable, match="watch of pods broke"):
        await watched(client, inactivity_seconds=0.1)


async def test_a_watch_lives_longer_than_a_request_may(server: ScriptedServer) -> None:
    parts = [event("ADDED", name, 2) for name in "abcdefghij"]  # ten writes, 5 ms apart
    server.streams(*parts)
    async with make_client(server.url, request_seconds=0.01) as client:
        assert await watched(client) == list("abcdefghij")


class TestGuard:
    """A write goes out only while whoever guards them lets it."""

    WRITES: ClassVar[dict[str, Callable[[Client], Awaitable[Object]]]] = {
        "create": lambda client: client.create(PODS, {}),
        "update": lambda client: client.update(f"{PODS}/a", {}),
        "patch": lambda client: client.patch_merge(f"{PODS}/a", {}),
        "patch-status": lambda client: client.patch_status(f"{PODS}/a", {}),
        "apply": lambda client: client.apply(f"{PODS}/a", {}, manager="m"),
        "delete": lambda client: client.delete(f"{PODS}/a", uid="u"),
    }

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    async def test_a_refused_write_is_not_sent(
        self, server: ScriptedServer, write: Callable[[Client], Awaitable[Object]]
    ) -> None:
        def refuse() -> float:
            raise NotLeading("the lead is another's")

        async with make_client(server.url, guard=refuse) as client:
            with pytest.raises(NotLeading):
                await write(client)
        assert server.seen == []

    async def test_reads_and_watches_ask_nobody(self, server: ScriptedServer) -> None:
        def refuse() -> float:
            raise NotLeading("the lead is another's")

        async with make_client(server.url, guard=refuse) as client:
            server.answers({"metadata": {"name": "a"}})
            assert (await client.get(PODS))["metadata"]["name"] == "a"
            server.streams(event("ADDED", "a", 2))
            assert await watched(client) == ["a"]

    async def test_it_is_asked_before_each_write(self, server: ScriptedServer) -> None:
        asked: list[int] = []

        def allow() -> float:
            asked.append(len(server.seen))
            return 10.0

        async with make_client(server.url, guard=allow) as client:
            for write in self.WRITES.values():
                server.answers({})
                await write(client)
        assert asked == [0, 1, 2, 3, 4, 5]

    async def test_a_write_that_waits_for_a_connection_longer_than_it_may_is_not_sent(
        self, server: ScriptedServer
    ) -> None:
        async with make_client(server.url, guard=lambda: 0.2, pool=1) as client:
            server.hangs()
            first = asyncio.create_task(client.get(PODS))
            while not server.seen:
                await asyncio.sleep(0.01)
            with pytest.raises(errors.Unreachable):
                await client.create(PODS, {})
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        assert [seen.method for seen in server.seen] == ["GET"]


async def test_apply_sends_what_server_side_apply_wants(server: ScriptedServer, client: Client) -> None:
    server.answers({})
    await client.apply("/apis/g/v1/namespaces/x/things/a", {"kind": "Thing"}, manager="us")
    seen = server.seen[0]
    assert (seen.method, seen.query) == ("PATCH", {"fieldManager": "us", "force": "true"})
    assert (seen.headers["Content-Type"], seen.body) == ("application/apply-patch+yaml", {"kind": "Thing"})
