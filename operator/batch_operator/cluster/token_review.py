"""`TokenReviewer`: which pod a bearer token belongs to, by the API server's word. Asked by progress_server
for each report.

Answers are cached by the token's SHA-256 (the token itself is kept nowhere), so that 10,000 pods that report
every few seconds cost one review a minute each. Reviews that the cache cannot answer are limited in number,
so that garbage cannot flood the API server.
"""

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import structlog
from cachetools import TLRUCache

from batch_operator.api import names
from batch_operator.cluster.client import Object
from batch_operator.cluster.errors import ApiError
from batch_operator.cluster.rate_limit import TokenBucket
from batch_operator.cluster.resource_paths import TOKEN_REVIEWS

ACCEPTED_SECONDS = 60.0
REFUSED_SECONDS = 5.0
_CACHED_TOKENS = 20_000
_REVIEWS_PER_SECOND, _REVIEWS_AT_ONCE = 100.0, 300.0
_MAX_TOKEN_LENGTH = 8192
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_USER_PREFIX = "system:serviceaccount:"
_POD_NAME, _POD_UID = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"

log = structlog.get_logger(__name__)


class TokenRefused(Exception):
    """The token is not one of ours: 401. str() says why, without the token."""


class TooManyReviews(Exception):
    """More unknown tokens than are reviewed: 429. `retry_after` in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("too many tokens to review at the moment")
        self.retry_after = retry_after


class ReviewUnavailable(Exception):
    """The API server could not be asked: 503."""


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """Whose token it is. Valid as of the review: a deleted pod's token passes for some seconds more."""

    namespace: str
    service_account: str
    pod_name: str
    pod_uid: str


@dataclass(frozen=True, slots=True)
class _Verdict:
    identity: PodIdentity | None
    refusal: str
    seconds: float


class Creator(Protocol):
    """The part of the `Client` that is needed here."""

    async def create(self, path: str, obj: Mapping[str, Any]) -> Object: ...


class TokenReviewer:
    """`clock` is monotonic and rules the cache; `wall_clock` (seconds since 1970) is compared with the
    token's `exp`.
    """

    def __init__(
        self,
        client: Creator,
        *,
        audience: str = names.TOKEN_AUDIENCE,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        limit: TokenBucket | None = None,
    ) -> None:
        self._client = client
        self._audience = audience
        self._wall_clock = wall_clock
        self._limit = limit or TokenBucket(_REVIEWS_PER_SECOND, _REVIEWS_AT_ONCE, clock)
        self._cache: TLRUCache[bytes, _Verdict] = TLRUCache(
            _CACHED_TOKENS, lambda _, verdict, now: now + verdict.seconds, timer=clock
        )
        self._pending: dict[bytes, asyncio.Task[_Verdict]] = {}

    async def review(self, token: str) -> PodIdentity:
        """Raises TokenRefused, TooManyReviews or ReviewUnavailable. Requests with one token share one review."""
        expiry = _expiry(token)
        digest = hashlib.sha256(token.encode()).digest()
        verdict = self._cache.get(digest)
        if verdict is None:
            verdict = await asyncio.shield(self._review_once(digest, token, expiry))
        if verdict.identity is None:
            raise TokenRefused(verdict.refusal)
        return verdict.identity

    def _review_once(self, digest: bytes, token: str, expiry: float | None) -> "asyncio.Task[_Verdict]":
        task = self._pending.get(digest)
        if task is None:
            if not self._limit.take():
                raise TooManyReviews(self._limit.seconds_to_next())
            task = asyncio.create_task(self._ask(digest, token, expiry), name="token review")
            self._pending[digest] = task
            task.add_done_callback(lambda done: self._reviewed(digest, done))
        return task

    def _reviewed(self, digest: bytes, task: "asyncio.Task[_Verdict]") -> None:
        self._pending.pop(digest, None)
        if not task.cancelled():
            task.exception()  # looked at here, since every request that waited for it may have gone away

    async def _ask(self, digest: bytes, token: str, expiry: float | None) -> _Verdict:
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        try:
            answer = await self._client.create(TOKEN_REVIEWS.path(), review)
        except ApiError as error:
            log.warning("token review failed", words=str(error))
            raise ReviewUnavailable("the token could not be reviewed, try again later") from error
        verdict = self._judge(answer.get("status") or {}, expiry)
        self._cache[digest] = verdict
        return verdict

    def _judge(self, status: Mapping[str, Any], expiry: float | None) -> _Verdict:
        user = status.get("user") or {}
        extra = user.get("extra") or {}
        name, uid = (str((extra.get(key) or [""])[0]) for key in (_POD_NAME, _POD_UID))
        namespace, _, account = str(user.get("username") or "").removeprefix(_USER_PREFIX).partition(":")
        refusal = ""
        if not status.get("authenticated"):
            refusal = "the API server does not accept this token"
        elif self._audience not in (status.get("audiences") or ()):
            refusal = f"the token is not for audience {self._audience}"
        elif not (str(user.get("username")).startswith(_USER_PREFIX) and account and name and uid):
            refusal = "the token is not bound to a pod"
        if refusal:
            return _Verdict(None, refusal, REFUSED_SECONDS)
        seconds = ACCEPTED_SECONDS
        if expiry is not None:
            seconds = max(0.0, min(seconds, expiry - self._wall_clock()))
        return _Verdict(PodIdentity(namespace, account, name, uid), "", seconds)


def _expiry(token: str) -> float | None:
    """The token's own `exp` (seconds since 1970), unverified; None if it has none. Raises TokenRefused for
    what is no JWT.
    """
    if len(token) > _MAX_TOKEN_LENGTH or not _JWT.fullmatch(token):
        raise TokenRefused("the bearer token is not a JWT")
    payload = token.split(".")[1]
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:
        claims = None
    if not isinstance(claims, dict):
        raise TokenRefused("the bearer token is not a JWT")
    expiry = claims.get("exp")
    return float(expiry) if isinstance(expiry, int | float) else None
