"""`Client`: JSON to and from the API server, one method per verb, no model classes and no retries. Used by all of
`cluster`.

Connection, TLS and credentials are the official client's (`kubernetes.aio`). Every failure is an
`errors.ApiError`; whether to try again is the caller's decision (workqueue back-off, reflector), so that
nothing waits or repeats behind anybody's back.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlencode

import aiohttp
import orjson
from kubernetes.aio.client.rest import RESTClientObject

from batch_operator.cluster.credentials import Credentials, CredentialsError
from batch_operator.cluster.errors import Gone, Unauthorized, Unreachable, error_from_response, error_from_status
from batch_operator.cluster.json_reading import Fields, read_event, read_list, read_object
from batch_operator.cluster.json_reading import Object as Object
from batch_operator.cluster.resource_paths import resource_of

T = TypeVar("T")
Params = Mapping[str, str | int | bool]
RequestObserver = Callable[[str, str, str, float], None]
"""Called once per request with (verb, resource, code, seconds); code "0" is no answer. For a watch: when its
headers came.
"""

WriteGuard = Callable[[], float]
"""Called right before each write: raises where none may go out any more, and says for how many seconds this one may
wait for its connection (`lead.Lead.check`).
"""

CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 30.0
WATCH_INACTIVITY_SECONDS = 75.0  # the API server sends a bookmark about every 60 s
PAGE_SIZE = 500
DECODED_AT_ONCE = 50
"""Objects of a page; then others have their turn, the request for the next page and the renewal of the lead."""
_CHUNKED_ATTEMPTS = 3
_JSON = "application/json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_MERGE_PATCH = "application/merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"
_WRITES = frozenset({"create", "update", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One consistent list: `items` as of `resource_version`."""

    items: tuple[T, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What of an object's metadata says whether one has its newest state."""

    namespace: str
    name: str
    uid: str
    resource_version: str

    @classmethod
    def of(cls, raw: Object) -> "Identity":
        meta = raw["metadata"]
        return cls(meta.get("namespace", ""), meta["name"], meta["uid"], meta["resourceVersion"])


class Client:
    """One connection pool to one API server. Make it with `Client.connect()` and close it, or use it as
    `async with`.

    `fields`: by resource ("pods"), what is read of its objects; answers lack all else. Of others they come whole.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        on_request: RequestObserver | None = None,
        guard: WriteGuard | None = None,
        fields: Mapping[str, Fields] | None = None,
        user_agent: str = "batch-operator",
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=request_seconds, sock_connect=CONNECT_SECONDS)
        self._guard = guard
        self._fields = fields or {}
        self.credentials = credentials
        self._host = credentials.server
        self._rest: Any = RESTClientObject(credentials.configuration)
        self._connection = _connection(self._rest)
        self._on_request = on_request
        self._user_agent = user_agent

    @classmethod
    async def connect(
        cls,
        kubeconfig: str | None = None,
        *,
        context: str | None = None,
        on_request: RequestObserver | None = None,
        guard: WriteGuard | None = None,
        fields: Mapping[str, Fields] | None = None,
    ) -> "Client":
        """Raises CredentialsError where no configuration can be loaded; does not call the API server yet."""
        credentials = await Credentials.load(kubeconfig, context)
        client = cls(credentials, on_request=on_request, guard=guard, fields=fields)
        credentials.start_refresh()
        return client

    async def close(self) -> None:
        await self.credentials.close()
        await self._rest.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def get(self, path: str, params: Params | None = None) -> Object:
        return await self._request("get", "GET", path, params)

    async def create(self, path: str, obj: Mapping[str, Any], params: Params | None = None) -> Object:
        """POST to a collection's path. AlreadyExists where the name is taken; Unreachable leaves open whether
        it was created.
        """
        return await self._request("create", "POST", path, params, body=obj)

    async def update(self, path: str, obj: Mapping[str, Any]) -> Object:
        """PUT of a whole object; its metadata.resourceVersion, if given, is a precondition (Conflict)."""
        return await self._request("update", "PUT", path, body=obj)

    async def patch_merge(self, path: str, patch: Mapping[str, Any]) -> Object:
        """JSON merge patch (RFC 7396): null removes a key, arrays replace. metadata.resourceVersion in it is
        a precondition (Conflict).
        """
        return await self._request("patch", "PATCH", path, body=patch, headers={"Content-Type": _MERGE_PATCH})

    async def apply(self, path: str, obj: Mapping[str, Any], *, manager: str) -> Object:
        """Server-side apply: makes the object of that name or takes over the fields that are given, whoever had them.
        Unlike a POST it can be granted by name (RBAC asks for create and patch).
        """
        params: Params = {"fieldManager": manager, "force": True}
        return await self._request("patch", "PATCH", path, params, body=obj, headers={"Content-Type": _APPLY_PATCH})

    async def patch_status(self, path: str, patch: Mapping[str, Any]) -> Object:
        """Merge patch of the status subresource of the object at `path`; the caller puts
        metadata.resourceVersion in.
        """
        return await self.patch_merge(f"{path}/status", patch)

    async def delete(
        self, path: str, *, uid: str, grace_seconds: int | None = None, resource_version: str | None = None
    ) -> Object:
        """DELETE of exactly the object with this uid: Conflict where the name has got another one since,
        NotFound where it is gone.

        Returns the object as it is now (with deletionTimestamp), or a Status where it vanished at once.
        """
        preconditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        return await self._request("delete", "DELETE", path, body=options)

    async def list(self, path: str, params: Params | None = None) -> Listing[Object]:
        return await self.list_as(path, lambda item: item, params)

    async def list_as(self, path: str, decode: Callable[[Object], T], params: Params | None = None) -> Listing[T]:
        """A whole collection in pages of 500, each item decoded while its page is in hand (10,000 raw pods
        would be 380 MB).

        A continue token that expired on the way (410) restarts the list; after the third time it is asked for
        in one piece.
        """
        for _ in range(_CHUNKED_ATTEMPTS):
            try:
                return await self._list_pages(path, decode, {**(params or {}), "limit": PAGE_SIZE})
            except Gone:
                continue
        return await self._list_pages(path, decode, dict(params or {}))

    async def list_identities(self, path: str, params: Params | None = None) -> Listing[Identity]:
        """Who is there, of a whole collection; the server sends the objects' metadata only."""
        return await self._list_pages(path, Identity.of, params or {}, {"Accept": _METADATA_ONLY})

    async def _list_pages(
        self, path: str, decode: Callable[[Object], T], params: Params, headers: Mapping[str, str] | None = None
    ) -> Listing[T]:
        def ask(token: str) -> asyncio.Task[bytes]:
            asked = {**params, "continue": token} if token else params
            return asyncio.ensure_future(self._body("list", "GET", path, asked, headers=headers))

        items: list_of[T] = []
        answer = ask("")
        try:
            while True:
                page = read_list(await answer, f"GET {path}", self._read_of(path))
                meta = page.get("metadata") or {}
                if token := meta.get("continue") or "":
                    answer = ask(token)  # the server makes the next page while this one is decoded
                for number, item in enumerate(page.get("items") or ()):
                    if number % DECODED_AT_ONCE == 0:
                        await asyncio.sleep(0)
                    items.append(decode(item))
                if not token:
                    return Listing(tuple(items), str(meta.get("resourceVersion") or ""))
        finally:
            answer.cancel()

    async def watch(
        self, path: str, params: Params | None = None, *, inactivity_seconds: float = WATCH_INACTIVITY_SECONDS
    ) -> AsyncGenerator[Object, None]:
        """Watch events ({"type", "object"}, bookmarks too) until the server ends the stream; close it
        with `aclosing`.

        An ERROR event is raised (Gone for 410), never given out. Unreachable: silence longer than
        `inactivity_seconds`, or a stream cut inside an event, which is dropped: whoever resumes from the last
        resourceVersion that they applied gets it again.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=inactivity_seconds)
        params, only = {**(params or {}), "watch": "true"}, self._read_of(path)
        async with await self._answer("watch", "GET", path, params, timeout=timeout) as answer:
            try:
                rest = b""
                async for chunk in answer.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield _event(line, only)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise Unreachable(f"watch of {resource_of(path)} broke: {_words(error)}") from error
            finally:
                if answer.connection is not None and answer.connection.transport is not None:
                    answer.connection.transport.abort()  # no TLS farewell for a stream that we leave: it would wait
            if rest.strip():
                raise Unreachable(f"watch of {resource_of(path)} broke: the stream ended inside an event")

    async def _request(
        self,
        verb: str,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        data = await self._body(verb, method, path, params, body=body, headers=headers)
        return read_object(data, f"{method} {path}", self._read_of(path))

    async def _body(
        self,
        verb: str,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        async with await self._answer(verb, method, path, params, body=body, headers=headers) as answer:
            try:
                return await answer.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise Unreachable(f"{method} {path}: the answer was cut off: {_words(error)}") from error

    async def _answer(
        self,
        verb: str,
        method: str,
        path: str,
        params: Params | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> aiohttp.ClientResponse:
        """A successful answer with its body unread; to be used with `async with`, which releases it, or closes it if it
        was not read to its end."""
        url = f"{self._host}{path}"
        if params:
            query = {key: str(value).lower() if isinstance(value, bool) else value for key, value in params.items()}
            url += f"?{urlencode(query)}"
        sent = {"Accept": _JSON, "Content-Type": _JSON, "User-Agent": self._user_agent, **(headers or {})}
        try:
            authorization = await self.credentials.authorization()
        except CredentialsError as error:
            raise Unauthorized(401, "Unauthorized", str(error)) from error
        if authorization:
            sent["Authorization"] = authorization
        timeout = timeout or self._timeout
        if self._guard is not None and verb in _WRITES:  # last of all; what follows waits for a free connection only
            timeout = aiohttp.ClientTimeout(timeout.total, connect=self._guard(), sock_connect=CONNECT_SECONDS)
        started = time.monotonic()
        code = 0
        try:
            answer = await self._session.request(
                method, url, headers=sent, data=_encoded(body), timeout=timeout, **self._connection
            )
            code = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{method} {path}: {_words(error)}") from error
        finally:
            if self._on_request is not None:
                self._on_request(verb, resource_of(path), str(code), time.monotonic() - started)
        if code >= 400:
            async with answer:
                raise error_from_response(code, await _refusal(answer), retry_after=answer.headers.get("Retry-After"))
        return answer

    def _read_of(self, path: str) -> Fields | None:
        return self._fields.get(resource_of(path).partition("/")[0]) if self._fields else None

    @property
    def _session(self) -> aiohttp.ClientSession:
        """The official client's. What its own `request` does beyond this is to write JSON with the json module, dear
        for a pod or a ConfigMap, and to retry, which we do not want."""
        if self._rest.pool_manager is None:
            self._rest.pool_manager = self._rest._create_pool_manager()
        session: aiohttp.ClientSession = self._rest.pool_manager
        return session


list_of = list  # `Client.list` hides the builtin inside the class


def _connection(rest: Any) -> dict[str, Any]:
    """How the official client connects, where its configuration says more than the URL."""
    chosen = {
        "server_hostname": rest.configuration.tls_server_name,
        "proxy": rest.proxy,
        "proxy_headers": rest.proxy_headers,
    }
    return {key: value for key, value in chosen.items() if value}


def _encoded(body: Mapping[str, Any] | None) -> bytes | None:
    if body is None:
        return None
    try:
        return orjson.dumps(body)
    except TypeError:  # numbers beyond 64 bits, halves of characters, nesting beyond 254 levels: all legal JSON
        return json.dumps(body).encode()


async def _refusal(answer: aiohttp.ClientResponse) -> Any:
    """The body of an error answer, decoded if it is JSON; "" if it cannot be read: the code alone still tells
    the story.
    """
    try:
        data = await answer.read()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return ""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return data.decode(errors="replace")


def _event(line: bytes, only: Fields | None) -> Object:
    event = read_event(line, only)
    if event.get("type") == "ERROR":
        raise error_from_status(event.get("object") or {})
    return event


def _words(error: BaseException) -> str:
    """aiohttp's time-outs have no text of their own."""
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
