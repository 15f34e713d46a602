"""What the API server answered, as exceptions that the reconciler can tell apart. Raised by `client`, caught
by everything above.

`str(error)` is always the server's own words (Status.message), so that a log line or a condition can quote it
unchanged.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

_BODY_EXCERPT = 300  # characters of a body that is no Status (a proxy's HTML page), enough to recognise who answered


class ApiError(Exception):
    """Any refusal. `status` is the HTTP code (0: no answer at all), `reason` Kubernetes' word for it (""
    where none was given).
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.details: Mapping[str, Any] = details or {}
        self.retry_after = retry_after
        """Seconds that the server asked us to wait, None where it named none."""

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.status}, {self.reason!r}, {self.message!r})"


class NotFound(ApiError):
    """404 for an object: there is none of this name."""


class NotServed(ApiError):
    """404 that names no object: the API server does not serve this resource, or not yet. It says nothing about any
    object: one that starts answers so for custom resources that are all there.
    """


class AlreadyExists(ApiError):
    """409, reason AlreadyExists: a POST of a name that is taken."""


class Conflict(ApiError):
    """409, any other reason: a stale resourceVersion, or a precondition (uid) that does not hold."""


class Gone(ApiError):
    """410, or an ERROR event 410 inside a watch: the resourceVersion or the continue token is too old. List
    again.
    """


class Invalid(ApiError):
    """422: the schema, a CEL rule or validation refused the object."""


class Forbidden(ApiError):
    """403: RBAC, but also ResourceQuota, Pod Security and an unknown PriorityClass (told apart by the message
    only).
    """


class Unauthorized(ApiError):
    """401: our credentials are missing or expired."""


class TooManyRequests(ApiError):
    """429: priority and fairness, or an eviction that a disruption budget holds back."""


class ServerError(ApiError):
    """5xx."""


class Unreachable(ApiError):
    """No complete answer: refused connection, TLS failure, time-out, cut stream. A write may or may not have
    happened.
    """

    def __init__(self, message: str) -> None:
        super().__init__(0, "Unreachable", message)


_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def error_from_status(
    status: Mapping[str, Any], *, http_status: int | None = None, retry_after: str | None = None
) -> ApiError:
    """The exception for a Kubernetes Status object: a response's body, or the object of an ERROR event in a
    watch.
    """
    code = status.get("code")
    number = code if isinstance(code, int) and code else (http_status or 500)
    reason = str(status.get("reason") or "")
    details = status.get("details")
    details = details if isinstance(details, Mapping) else {}
    message = str(status.get("message") or "") or reason or _phrase(number)
    kind = ServerError if number >= 500 else _BY_STATUS.get(number, ApiError)
    if reason == "AlreadyExists":
        kind = AlreadyExists
    if kind is NotFound and not details.get("name"):
        kind = NotServed
    wait = _seconds(retry_after)
    if wait is None:
        wait = _seconds(details.get("retryAfterSeconds"))
    return kind(number, reason, message, details, retry_after=wait)


def error_from_response(http_status: int, body: Any, *, retry_after: str | None = None) -> ApiError:
    """The exception for an answer of 400 and above. `body`: decoded JSON, or text where it was none (a proxy
    in between).
    """
    if isinstance(body, Mapping) and body.get("kind") == "Status":
        return error_from_status(body, http_status=http_status, retry_after=retry_after)
    excerpt = str(body or "").strip()[:_BODY_EXCERPT]
    message = f"HTTP {http_status} {_phrase(http_status)}" + (f": {excerpt}" if excerpt else "")
    return error_from_status({"message": message}, http_status=http_status, retry_after=retry_after)


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return f"HTTP {code}"


def _seconds(value: Any) -> float | None:
    """Seconds of a Retry-After header or of retryAfterSeconds; dates (allowed by HTTP, never sent by
    Kubernetes) and 0 count as absent.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None
