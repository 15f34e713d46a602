"""What kopf gets where it lists one of our kinds: nothing, as of the version at which we have listed it ourselves.

kopf reads a list in one piece, makes a task of each object in it, and never says what a later list lacks
(docs/adr/0002). Our own client lists in pages, into the store, which finds what is gone. kopf's request still goes to
the API server, with a selector that nothing matches and exactly that version; its watch begins where our list ended.

A middleware of kopf's session; called by aiohttp for each request of kopf's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import aiohttp

from batch_operator.cluster.errors import ApiError

EXPIRED = 410
ATTEMPTS = 3
NOTHING = "metadata.name=-"
"""No object can be named so."""

Handler = Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]


class KopfLists:
    """`lists`: by the collection's path, what lists it into its store and says the list's version."""

    def __init__(self, lists: Mapping[str, Callable[[], Awaitable[str]]]) -> None:
        self._lists = lists
        self._listed: dict[str, str] = {}
        self._listing: dict[str, asyncio.Task[str]] = {}

    def begin(self, path: str, version: str) -> None:
        """It has just been listed as of this version: the next watch begins there."""
        self._listed[path] = version

    async def __call__(self, request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        path, url = request.url.path, request.url
        if request.method != "GET" or path not in self._lists or "watch" in url.query:
            return await handler(request)
        for attempt in range(1, ATTEMPTS + 1):
            version = self._listed.pop(path, "") or await self._list_again(path)
            request.url = url.update_query(fieldSelector=NOTHING, resourceVersion=version, resourceVersionMatch="Exact")
            answer = await handler(request)
            if answer.status != EXPIRED or attempt == ATTEMPTS:
                break
            answer.release()
        return answer

    async def _list_again(self, path: str) -> str:
        """Goes on where kopf has lost its patience; its next attempt waits for the same list."""
        task = self._listing.get(path)
        if task is None:
            task = asyncio.ensure_future(self._lists[path]())
            self._listing[path] = task
            task.add_done_callback(lambda _: self._listing.pop(path, None))
        try:
            return await asyncio.shield(task)
        except ApiError as error:  # what kopf tries again, for ever
            raise aiohttp.ClientConnectionError(str(error)) from error
