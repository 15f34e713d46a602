"""What goes wrong between an operator and its API server: a `Fault` or two per plan, at a k-th write or watch event.

A write's fault strikes before it is sent, after its commit but before the reply, or after the reply. Used by
operator_process, watches and world; tests.unit.faults.plans makes the list of all plans.
"""

from dataclasses import dataclass
from enum import StrEnum

from batch_operator.cluster.errors import ApiError, Unreachable, error_from_status


class Crashed(BaseException):
    """The process is gone: no code of it runs on. Not an Exception, so that nothing catches it."""


class Kind(StrEnum):
    """`k` counts the writes of the operators that have the fault (to CLOCK_…) or the watch events that they hear."""

    NONE = "reference"
    CRASH_BEFORE = "crash-before-send"
    CRASH_AFTER_COMMIT = "crash-after-commit"
    CRASH_AFTER_REPLY = "crash-after-reply"
    AWAY = "crash-and-away"
    """After the commit; the next process starts only when all pods have long ended."""
    TAMPERED = "crash-and-tampered"
    """Before it is sent; while nobody looks, an editor replaces the job's ConfigMap."""
    STALE_LISTS = "crash-and-stale-lists"
    """After the commit; the next process' first lists are as they were STALE_COMMITS commits before that, and its
    watches lag behind for a minute."""
    STALE_PODS = "crash-and-stale-pods"
    STALE_JOBS = "crash-and-stale-jobs"
    BAD_REQUEST = "400"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    QUOTA = "403-quota"
    NOT_FOUND = "404"
    """Of the object, though it is there."""
    NOT_SERVED = "404-not-served"
    """Of the resource, as from a server that has just started."""
    CONFLICT = "409"
    EXISTS = "409-exists"
    GONE = "410"
    TOO_LARGE = "413"
    INVALID = "422"
    TOO_MANY = "429"
    SERVER_ERROR = "500"
    UNAVAILABLE = "503"
    GATEWAY_TIMEOUT = "504"
    TIMEOUT_BEFORE = "timeout-before-commit"
    TIMEOUT_AFTER = "timeout-after-commit"
    RESET_BEFORE = "reset-before-commit"
    RESET_AFTER = "reset-after-commit"
    TRUNCATED = "truncated-reply"
    DELAYED = "delayed"
    """Sent and answered after 5 s."""
    LATE_COMMIT = "late-commit"
    """It gets no answer in 30 s, is made anew, and is committed after 40 s all the same."""
    STRANGER = "stranger-takes-the-name"
    """Just before a delete is sent, somebody else has deleted that pod and made another of the same name."""
    PAUSED = "paused"
    """SIGSTOP before it is sent; a second operator takes over; SIGCONT after 40 s."""
    PAUSED_LONG = "paused-long"
    """The same, SIGCONT when the second operator has long finished."""
    CLOCK_FORWARD = "clock-forward"
    """The wall clock of the operator's machine is set a day forward before the write; the process lives on."""
    CLOCK_BACK = "clock-back"
    CLOCK_FORWARD_RESTART = "clock-forward-and-restart"
    """The same, and the process crashes after the reply: the next one begins with the clock as it was set."""
    CLOCK_BACK_RESTART = "clock-back-and-restart"
    TWO = "two-operators"
    """Both from the start, until one of them learns that it is not the leader; k: which one is the first to move."""
    WATCH_DROPS = "watch-drops"
    """The event is never told, and the stream goes on: no API server may do that, and yet it has happened."""
    WATCH_LATE = "watch-late"
    WATCH_REPEATS = "watch-repeats"
    """The event and the three before it come again."""
    WATCH_SWAPS = "watch-swaps"
    """The next event of the stream comes first."""
    WATCH_FROZEN = "watch-frozen"
    """All watches lead to a server that lags a minute behind; writes do not."""
    WATCH_ENDS = "watch-ends"
    WATCH_GONE = "watch-410"
    WATCH_500 = "watch-500"
    WATCH_429 = "watch-429"
    WATCH_HALF_LINE = "watch-half-line"
    WATCH_SILENT = "watch-silent"
    """Nothing more comes; the client gives the stream up after 75 s."""
    WATCH_BOOKMARKS = "watch-bookmarks-only"
    """Nothing but bookmarks of what was told before comes until the stream's time is over."""


CRASHES = (
    Kind.CRASH_BEFORE,
    Kind.CRASH_AFTER_COMMIT,
    Kind.CRASH_AFTER_REPLY,
    Kind.AWAY,
    Kind.TAMPERED,
    Kind.STALE_LISTS,
    Kind.STALE_PODS,
    Kind.STALE_JOBS,
)
STALE = {Kind.STALE_LISTS: ("pods", "batchjobs"), Kind.STALE_PODS: ("pods",), Kind.STALE_JOBS: ("batchjobs",)}
_ANSWERS: dict[Kind, tuple[int, str, str, int | None]] = {
    Kind.BAD_REQUEST: (400, "BadRequest", "the request was not understood", None),
    Kind.UNAUTHORIZED: (401, "Unauthorized", "Unauthorized", None),
    Kind.FORBIDDEN: (403, "Forbidden", "is forbidden: User cannot do this at the cluster scope", None),
    Kind.QUOTA: (403, "Forbidden", "is forbidden: exceeded quota: pods, requested: pods=1, used: pods=9", None),
    Kind.NOT_FOUND: (404, "NotFound", "the object was not found", None),
    Kind.NOT_SERVED: (404, "NotFound", "the server could not find the requested resource", None),
    Kind.CONFLICT: (409, "Conflict", "the object has been modified; please apply your changes", None),
    Kind.EXISTS: (409, "AlreadyExists", "the name exists already", None),
    Kind.GONE: (410, "Expired", "the resource version is too old", None),
    Kind.TOO_LARGE: (413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728", None),
    Kind.INVALID: (422, "Invalid", "is invalid: spec: Invalid value", None),
    Kind.TOO_MANY: (429, "TooManyRequests", "the server has received too many requests", 1),
    Kind.SERVER_ERROR: (500, "InternalError", "Internal error occurred: etcdserver: leader changed", None),
    Kind.UNAVAILABLE: (503, "ServiceUnavailable", "the server is currently unable to handle the request", None),
    Kind.GATEWAY_TIMEOUT: (504, "Timeout", "request did not complete within the allotted timeout", None),
}
ANSWERS = tuple(_ANSWERS)
LOST = {
    Kind.TIMEOUT_BEFORE: (False, "no answer in time"),
    Kind.TIMEOUT_AFTER: (True, "no answer in time"),
    Kind.RESET_BEFORE: (False, "Connection reset by peer"),
    Kind.RESET_AFTER: (True, "Connection reset by peer"),
    Kind.TRUNCATED: (True, "not JSON: unexpected end of data"),
}
"""Kind -> (whether it is committed, what the client says)."""
PAUSES = {Kind.PAUSED: 40.0, Kind.PAUSED_LONG: 400.0}
DAY = 86_400.0
CLOCK_STEPS = {
    Kind.CLOCK_FORWARD: DAY,
    Kind.CLOCK_BACK: -DAY,
    Kind.CLOCK_FORWARD_RESTART: DAY,
    Kind.CLOCK_BACK_RESTART: -DAY,
}
CLOCK_RESTARTS = (Kind.CLOCK_FORWARD_RESTART, Kind.CLOCK_BACK_RESTART)
SECONDS_LOST = {Kind.TIMEOUT_BEFORE: 30.0, Kind.TIMEOUT_AFTER: 30.0, Kind.DELAYED: 5.0, Kind.LATE_COMMIT: 30.0}
STREAM_ENDS = (
    Kind.WATCH_ENDS,
    Kind.WATCH_GONE,
    Kind.WATCH_500,
    Kind.WATCH_429,
    Kind.WATCH_HALF_LINE,
    Kind.WATCH_SILENT,
    Kind.WATCH_BOOKMARKS,
)
WATCH_FAULTS = (
    Kind.WATCH_DROPS,
    Kind.WATCH_LATE,
    Kind.WATCH_REPEATS,
    Kind.WATCH_SWAPS,
    Kind.WATCH_FROZEN,
    *STREAM_ENDS,
)
WRITE_FAULTS = (
    *CRASHES,
    *ANSWERS,
    *LOST,
    Kind.DELAYED,
    Kind.LATE_COMMIT,
    *PAUSES,
    *CLOCK_STEPS,
    Kind.STRANGER,
)
LATE_COMMIT_SECONDS = 40.0
STALE_COMMITS = 4
RESTART_SECONDS = {Kind.AWAY: 400.0}
USUAL_RESTART_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Fault:
    kind: Kind = Kind.NONE
    k: int = 0

    @property
    def restart_seconds(self) -> float:
        return RESTART_SECONDS.get(self.kind, USUAL_RESTART_SECONDS)

    def __str__(self) -> str:
        return self.kind.value if self.kind is Kind.NONE else f"{self.kind.value}/{self.k}"

    @classmethod
    def parse(cls, text: str) -> "Fault":
        kind, _, k = text.partition("/")
        return cls(Kind(kind), int(k or 0))


class Misfortunes:
    """The faults of one world, each of which strikes once. All operators count together: a second fault may fall on
    the process that follows a crash.
    """

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        self.writes = 0
        self.events = 0
        self._open = [fault for fault in faults if fault.kind is not Kind.NONE]

    def add(self, kind: Kind) -> None:
        """It falls on the next write, or the next event."""
        count = self.events if kind in WATCH_FAULTS else self.writes
        self._open.append(Fault(kind, count))

    def at_write(self) -> Fault | None:
        """The fault that falls on the write which is sent now."""
        found = self._strike(WRITE_FAULTS, self.writes)
        self.writes += 1
        return found

    def at_event(self) -> Fault | None:
        """The fault that falls on the event which is told now; `told` counts it."""
        return self._strike(WATCH_FAULTS, self.events)

    def told(self) -> None:
        self.events += 1

    def has(self, kind: Kind) -> Fault | None:
        return next((fault for fault in self.faults if fault.kind is kind), None)

    def _strike(self, kinds: tuple[Kind, ...], count: int) -> Fault | None:
        for fault in self._open:
            if fault.kind in kinds and fault.k == count:
                self._open.remove(fault)
                return fault
        return None


def answer(kind: Kind) -> ApiError:
    """The refusal that a fault of ANSWERS stands for."""
    code, reason, message, wait = _ANSWERS[kind]
    details = {"name": "it"} if kind is Kind.NOT_FOUND else {}
    status = {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}
    return error_from_status(status, retry_after=None if wait is None else str(wait))


def no_answer(path: str, words: str = "no answer in time") -> Unreachable:
    return Unreachable(f"{path}: {words}")
