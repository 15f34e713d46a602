"""What goes wrong between a real operator process and the real API server: one `Fault` per plan.

`k` counts the operator's writes (Leases and TokenReviews apart), or the watch events that it is told. Used by proxy
and plans; tests/fakes/faults.py has the fake server's own.
"""

import json
from dataclasses import dataclass
from typing import Any

NONE = "reference"

CRASH_BEFORE = "crash-before-send"
CRASH_AFTER_COMMIT = "crash-after-commit"
CRASH_AFTER_REPLY = "crash-after-reply"
CRASHES = (CRASH_BEFORE, CRASH_AFTER_COMMIT, CRASH_AFTER_REPLY)

_REFUSALS: dict[str, tuple[int, str, str]] = {
    "400": (400, "BadRequest", "the server rejected our request for an unknown reason"),
    "401": (401, "Unauthorized", "Unauthorized"),
    "403": (403, "Forbidden", "forbidden: User cannot do this"),
    "403-quota": (403, "Forbidden", "is forbidden: exceeded quota: compute, requested: pods=1, used: pods=9"),
    "404": (404, "NotFound", "the server could not find the requested resource"),
    "409-exists": (409, "AlreadyExists", "the name exists already"),
    "409": (409, "Conflict", "the object has been modified; please apply your changes to the latest version"),
    "410": (410, "Expired", "the provided continue parameter is too old"),
    "413": (413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"),
    "422": (422, "Invalid", "is invalid: spec: Invalid value"),
    "429": (429, "TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    "500": (500, "InternalError", "Internal error occurred: etcdserver: leader changed"),
    "503": (503, "ServiceUnavailable", "the server is currently unable to handle the request"),
    "504": (504, "Timeout", "the server was unable to return a response in the time allotted"),
}
REFUSED = tuple(_REFUSALS)
APPLIED_AND_REFUSED = tuple(f"{code}-applied" for code in ("500", "503", "504"))
"""The write is committed, and the answer is an error."""

TIMEOUT_BEFORE = "timeout-not-applied"
TIMEOUT_AFTER = "timeout-applied"
RESET_BEFORE = "reset-before"
RESET_AFTER = "reset-after"
TRUNCATED = "truncated"
DELAYED = "delayed"
LINE = (TIMEOUT_BEFORE, TIMEOUT_AFTER, RESET_BEFORE, RESET_AFTER, TRUNCATED, DELAYED)
WRITE_FAULTS = (*CRASHES, *REFUSED, *APPLIED_AND_REFUSED, *LINE)

WATCH_CLOSED = "watch-closed"
WATCH_GONE = "watch-410"
WATCH_ERROR = "watch-500"
WATCH_BUSY = "watch-429"
WATCH_HALF = "watch-half-a-line"
WATCH_SILENT = "watch-silent"
WATCH_DROP = "watch-drop"
"""The event and what follows within a second are never seen; then the version is too old, and a list tells."""
WATCH_LATE = "watch-late"
WATCH_TWICE = "watch-twice"
WATCH_SWAP = "watch-swap"
WATCH_ENDS = (WATCH_CLOSED, WATCH_GONE, WATCH_ERROR, WATCH_BUSY, WATCH_HALF, WATCH_SILENT)
WATCH_EVENTS = (WATCH_DROP, WATCH_LATE, WATCH_TWICE, WATCH_SWAP)
WATCH_FAULTS = (*WATCH_ENDS, *WATCH_EVENTS)

KINDS = (NONE, *WRITE_FAULTS, *WATCH_FAULTS)
DELAY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str = NONE
    k: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == NONE else f"{self.kind}/{self.k}"

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """Raises ValueError for what is no fault."""
        kind, _, k = text.partition("/")
        if kind not in KINDS:
            raise ValueError(f"'{kind}' is no kind of fault; there are {', '.join(KINDS)}")
        return cls(kind, int(k or 0))

    @property
    def group(self) -> str:
        """As the table of figures names it."""
        groups = {"crash": CRASHES, "error answer": (*REFUSED, *APPLIED_AND_REFUSED), "connection": LINE}
        found = [name for name, kinds in (groups | {"watch": WATCH_FAULTS}).items() if self.kind in kinds]
        return found[0] if found else "reference"


def refusal(kind: str) -> tuple[int, dict[str, Any]]:
    """(code, Status object) that a fault of REFUSED or APPLIED_AND_REFUSED answers with."""
    code, reason, message = _REFUSALS[kind.removesuffix("-applied")]
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    details = {"details": {"retryAfterSeconds": 1}} if code == 429 else {}
    return code, {**status, **details, "code": code, "reason": reason, "message": message}


def error_event(kind: str) -> bytes:
    """The ERROR event that ends a watch, as one line."""
    code, reason = {WATCH_GONE: (410, "Expired"), WATCH_ERROR: (500, "InternalError")}.get(kind, (429, "TooMany"))
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return json.dumps({"type": "ERROR", "object": {**status, "message": f"injected: {reason}"}}).encode() + b"\n"
