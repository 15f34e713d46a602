"""The progress endpoint: `POST /v1/progress` over TLS, by which worker pods report (pod contract, design
section 4).

Run by main. Checks, in this order, and the answers of those who fail them: path and method 404/405, bearer
token 401, body of at most 64 KiB 413, the token's review 401 (429, 503: come back), a living pod of ours 403,
a report 400, numbers of the pod's own block 400. Only then `accept` hears of it. Errors look like the API's:
{"code", "message"}.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import orjson
import structlog
from aiohttp import web
from cachetools import TTLCache

from batch_operator.api import names, ranges
from batch_operator.api.report import Report, ReportError
from batch_operator.cluster.connections import Handler
from batch_operator.cluster.errors import ApiError, NotFound
from batch_operator.cluster.rate_limit import TokenBucket
from batch_operator.cluster.token_review import (
    PodIdentity,
    ReviewUnavailable,
    TokenRefused,
    TokenReviewer,
    TooManyReviews,
)
from batch_operator.snapshot import PodRecord

MAX_BODY = 64 * 1024
BODY_SECONDS = 10.0
_FETCHES_PER_SECOND, _FETCHES_AT_ONCE = 20.0, 50.0
_FOREIGN_SECONDS = 5.0
_CODES = {
    400: "INVALID_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "PAYLOAD_TOO_LARGE",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}

log = structlog.get_logger(__name__)


class Refused(Exception):
    """A request that ends here: its HTTP status and the sentence that the worker is told."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class ProgressEndpoint:
    """The application's parts; `app` is made once and served by a `connections.GuardedSite`."""

    def __init__(
        self,
        reviewer: TokenReviewer,
        find_pod: Callable[[str], PodRecord | None],
        fetch_pod: Callable[[str, str], Awaitable[PodRecord]],
        accept: Callable[[PodRecord, Report], bool],
        *,
        on_answer: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`find_pod(uid)` reads our cache, `fetch_pod(namespace, name)` asks the API server (ApiError) for a
        pod younger than the cache; `accept(pod, report)` must be quick and says whether the pod's job lives;
        `on_answer(status)` counts.
        """
        self._reviewer = reviewer
        self._find_pod = find_pod
        self._fetch_pod = fetch_pod
        self._accept = accept
        self._on_answer = on_answer
        self._fetches = TokenBucket(_FETCHES_PER_SECOND, _FETCHES_AT_ONCE, clock)
        self._foreign: TTLCache[str, str] = TTLCache(4096, _FOREIGN_SECONDS, timer=clock)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._errors])
        app.router.add_post(names.PROGRESS_PATH, self._report)
        return app

    async def _report(self, request: web.Request) -> web.Response:
        token = _bearer(request)
        body = await _body(request)
        identity = await self._identity(token)
        pod = await self._pod(identity)
        report = read_report(pod, body)
        if not self._accept(pod, report):
            raise Refused(403, f"pod {pod.namespace}/{pod.name} is none of a living BatchJob")
        return web.Response(status=204)

    async def _identity(self, token: str) -> PodIdentity:
        try:
            return await self._reviewer.review(token)
        except TokenRefused as error:
            raise Refused(401, str(error), {"WWW-Authenticate": "Bearer"}) from error
        except TooManyReviews as error:
            raise _later(429, str(error), error.retry_after) from error
        except ReviewUnavailable as error:
            raise _later(503, str(error), 5) from error

    async def _pod(self, identity: PodIdentity) -> PodRecord:
        """The living attempt that the token belongs to; our cache may not know the newest pods yet, so the
        API server is asked too.
        """
        pod = self._find_pod(identity.pod_uid)
        if pod is None:
            pod = await self._fetched(identity)
        whole_name = f"{identity.namespace}/{identity.pod_name}"
        if (pod.uid, pod.namespace, pod.name) != (identity.pod_uid, identity.namespace, identity.pod_name):
            raise Refused(403, f"pod {whole_name} of this token is gone")
        refuse_unless_living(pod)
        return pod

    async def _fetched(self, identity: PodIdentity) -> PodRecord:
        known = self._foreign.get(identity.pod_uid)
        if known is not None:
            raise Refused(403, known)
        if not self._fetches.take():
            raise _later(429, "too many pods unknown as yet", self._fetches.seconds_to_next())
        gone = f"pod {identity.namespace}/{identity.pod_name} of this token is gone"
        try:
            pod = await self._fetch_pod(identity.namespace, identity.pod_name)
        except NotFound as error:
            self._foreign[identity.pod_uid] = gone
            raise Refused(403, gone) from error
        except ApiError as error:
            raise _later(503, "the pod could not be looked up, try again later", 5) from error
        if pod.uid != identity.pod_uid:
            self._foreign[identity.pod_uid] = gone
        elif not pod.owner_uid:
            self._foreign[identity.pod_uid] = f"pod {pod.namespace}/{pod.name} is not one of a BatchJob"
        return pod

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every refusal in the API's style, and every answer counted. Nothing that goes wrong here is a
        worker's business.
        """
        try:
            response = await handler(request)
        except Refused as refused:
            note = log.info if refused.status in (400, 403, 413) else log.debug  # strangers must not fill the log
            note("report refused", status=refused.status, why=str(refused), peer=request.remote)
            response = _error(refused.status, str(refused), refused.headers)
        except web.HTTPException as error:
            allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            response = _error(error.status, f"{request.method} {request.path}: {error.reason}", allow)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("report failed", peer=request.remote)
            response = _error(500, "the report could not be taken; the reason is in the operator's log")
        if self._on_answer is not None:
            self._on_answer(response.status)
        return response


def refuse_unless_living(pod: PodRecord) -> None:
    """Raises Refused for what is none of a BatchJob, or has ended."""
    if not pod.owner_uid:
        raise Refused(403, f"pod {pod.namespace}/{pod.name} is not one of a BatchJob")
    if not pod.is_live:
        words = "has ended: a finished pod's last word is its termination message"
        raise Refused(403, f"pod {pod.namespace}/{pod.name} {words}")


def read_report(pod: PodRecord, body: bytes) -> Report:
    """What the pod says of its own block. Raises Refused."""
    try:
        report = Report.parse(body)
    except ReportError as error:
        raise Refused(400, str(error)) from error
    try:
        block = ranges.parse(pod.inputs)
    except ranges.RangeError as error:  # somebody edited the annotation
        raise Refused(403, f"pod {pod.namespace}/{pod.name} has no block of inputs: {error}") from error
    foreign = (report.numbers | report.reasons.keys()) - block
    if foreign:
        raise Refused(400, f"input {min(foreign)} is not of this pod's block {pod.inputs!r}")
    return report


def _bearer(request: web.Request) -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Refused(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})
    return token.strip()


async def _body(request: web.Request) -> bytes:
    """The whole body, of whatever encoding; never more than MAX_BODY of it in memory, never longer than
    BODY_SECONDS.
    """
    too_large = Refused(413, f"the body is larger than {MAX_BODY} bytes", {"Connection": "close"})
    if (request.content_length or 0) > MAX_BODY:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY:
                    raise too_large
    except TimeoutError as error:
        raise Refused(408, f"no whole body within {BODY_SECONDS:.0f} s", {"Connection": "close"}) from error
    except web.RequestPayloadError as error:
        raise Refused(400, "the body is cut off", {"Connection": "close"}) from error
    return bytes(body)


def _later(status: int, message: str, seconds: float) -> Refused:
    return Refused(status, message, {"Retry-After": str(max(1, round(seconds)))})


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body = orjson.dumps({"code": _CODES.get(status, HTTPStatus(status).name), "message": message})
    response = web.Response(status=status, body=body, content_type="application/json", headers=headers)
    if headers and headers.get("Connection") == "close":
        response.force_close()
    return response
