"""kopf's own lists are of nothing, as of the version of ours."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from batch_operator.cluster.errors import Unreachable
from batch_operator.handlers.kopf_lists import ATTEMPTS, KopfLists

PATH = "/apis/batch-operator.dev/v1alpha1/batchjobs"


class Lister:
    """Our own list: a new version each time."""

    def __init__(self) -> None:
        self.lists = 0
        self.failing = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> str:
        self.lists += 1
        await self.gate.wait()
        if self.failing:
            self.failing -= 1
            raise Unreachable("no answer")
        return str(100 + self.lists)


class Server:
    """Says what it was asked; answers with `codes`, then with 200."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.codes: list[int] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        return web.Response(status=self.codes.pop(0) if self.codes else 200)


@dataclass
class Scene:
    """kopf asks through `lists`."""

    server: Server
    lister: Lister
    lists: KopfLists
    session: aiohttp.ClientSession
    url: str

    async def ask(self, path: str = PATH, method: str = "GET", seconds: float = 10.0) -> int:
        timeout = aiohttp.ClientTimeout(total=seconds)
        async with self.session.request(method, self.url + path, timeout=timeout) as answer:
            return answer.status


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    server, lister = Server(), Lister()
    lists = KopfLists({PATH: lister})
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession(middlewares=(lists,)) as session:
        yield Scene(server, lister, lists, session, f"http://{host}:{port}")
    await runner.cleanup()


def exactly(version: str) -> dict[str, str]:
    return {"fieldSelector": "metadata.name=-", "resourceVersion": version, "resourceVersionMatch": "Exact"}


async def test_the_first_watch_begins_where_the_start_has_listed(scene: Scene) -> None:
    scene.lists.begin(PATH, "7")
    assert await scene.ask() == 200
    assert (scene.server.asked, scene.lister.lists) == ([exactly("7")], 0)


async def test_each_later_one_where_it_is_listed_again(scene: Scene) -> None:
    scene.lists.begin(PATH, "7")
    for _ in range(3):
        await scene.ask()
    assert scene.server.asked == [exactly("7"), exactly("101"), exactly("102")]


@pytest.mark.parametrize(
    ("path", "method"),
    [(f"{PATH}?watch=true", "GET"), (f"{PATH}/one", "GET"), ("/api/v1/pods", "GET"), (PATH, "POST")],
    ids=["watch", "one object", "another kind", "write"],
)
async def test_other_requests_go_through_as_they_are(scene: Scene, path: str, method: str) -> None:
    await scene.ask(path, method)
    assert (scene.server.asked[0].get("resourceVersionMatch"), scene.lister.lists) == (None, 0)


async def test_a_version_that_has_expired_meanwhile_is_listed_again(scene: Scene) -> None:
    scene.lists.begin(PATH, "7")
    scene.server.codes = [410]
    assert await scene.ask() == 200
    assert scene.server.asked == [exactly("7"), exactly("101")]


async def test_a_server_that_forgets_at_once_is_not_asked_for_ever(scene: Scene) -> None:
    scene.server.codes = [410] * 9
    assert await scene.ask() == 410
    assert scene.lister.lists == ATTEMPTS


async def test_a_list_that_fails_is_an_error_that_kopf_tries_again(scene: Scene) -> None:
    scene.lister.failing = 1
    with pytest.raises(aiohttp.ClientConnectionError, match="no answer"):
        await scene.ask()
    assert await scene.ask() == 200


async def test_a_list_goes_on_when_kopf_gives_up_and_serves_its_next_attempt(scene: Scene) -> None:
    scene.lister.gate.clear()
    with pytest.raises(TimeoutError):
        await scene.ask(seconds=0.05)
    scene.lister.gate.set()
    assert await scene.ask() == 200
    assert (scene.server.asked, scene.lister.lists) == ([exactly("101")], 1)
