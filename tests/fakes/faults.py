"""What goes wrong between an operator and its API server: one `Fault` per plan, at its k-th write or watch event.

A write's fault strikes at one of three moments: before it is sent, after its commit but before the reply, after
the reply. Used by operator_process and world.
"""

from dataclasses import dataclass
from enum import StrEnum

from batch_operator.cluster.errors import ApiError, Unreachable, error_from_status


class Crashed(BaseException):
    """The process is gone: no code of it runs on. Not an Exception, so that nothing catches it."""


class Kind(StrEnum):
    """`k` counts the operator's writes (to PAUSED_LONG) or the watch events that it hears (WATCH_…)."""

    NONE = "reference"
    CRASH_BEFORE = "crash-before-send"
    CRASH_AFTER_COMMIT = "crash-after-commit"
    CRASH_AFTER_REPLY = "crash-after-reply"
    AWAY = "crash-and-away"
    """After the commit; the next process starts only when all pods have long ended."""
    TAMPERED = "crash-and-tampered"
    """Before it is sent; while nobody looks, an editor replaces the job's ConfigMap."""
    CONFLICT = "409"
    EXISTS = "409-exists"
    TOO_MANY = "429"
    SERVER_ERROR = "500"
    UNAVAILABLE = "503"
    TIMEOUT_BEFORE = "timeout-before-commit"
    TIMEOUT_AFTER = "timeout-after-commit"
    LATE_COMMIT = "late-commit"
    """It gets no answer in 30 s, is made anew, and is committed after 40 s all the same."""
    STRANGER = "stranger-takes-the-name"
    """Just before a delete is sent, somebody else has deleted that pod and made another of the same name."""
    PAUSED = "paused"
    """SIGSTOP before it is sent; a second operator takes over; SIGCONT after 40 s."""
    PAUSED_LONG = "paused-long"
    """The same, SIGCONT when the second operator has long finished."""
    TWO = "two-operators"
    """Both from the start; k: which one is the first to move."""
    WATCH_ENDS = "watch-ends"
    WATCH_GONE = "watch-410"
    WATCH_LATE = "watch-late"
    WATCH_REPEATS = "watch-repeats"
    """The event and the three before it come again."""


CRASHES = (Kind.CRASH_BEFORE, Kind.CRASH_AFTER_COMMIT, Kind.CRASH_AFTER_REPLY, Kind.AWAY, Kind.TAMPERED)
ANSWERS = (Kind.CONFLICT, Kind.EXISTS, Kind.TOO_MANY, Kind.SERVER_ERROR, Kind.UNAVAILABLE)
TIMEOUTS = (Kind.TIMEOUT_BEFORE, Kind.TIMEOUT_AFTER)
PAUSES = {Kind.PAUSED: 40.0, Kind.PAUSED_LONG: 400.0}
WATCH_FAULTS = (Kind.WATCH_ENDS, Kind.WATCH_GONE, Kind.WATCH_LATE, Kind.WATCH_REPEATS)
WRITE_FAULTS = (*CRASHES, *ANSWERS, *TIMEOUTS, *PAUSES, Kind.LATE_COMMIT, Kind.STRANGER)
LATE_SECONDS = 5.0
TIMEOUT_SECONDS = 30.0
LATE_COMMIT_SECONDS = 40.0
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


def answer(kind: Kind) -> ApiError:
    """The refusal that a fault of ANSWERS stands for."""
    code, reason, message, wait = {
        Kind.CONFLICT: (409, "Conflict", "the object has been modified; please apply your changes", None),
        Kind.EXISTS: (409, "AlreadyExists", "the name exists already", None),
        Kind.TOO_MANY: (429, "TooManyRequests", "the server has received too many requests", 1),
        Kind.SERVER_ERROR: (500, "InternalError", "Internal error occurred: etcdserver: leader changed", None),
        Kind.UNAVAILABLE: (503, "ServiceUnavailable", "the server is currently unable to handle the request", None),
    }[kind]
    status = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return error_from_status(status, retry_after=None if wait is None else str(wait))


def no_answer(path: str) -> Unreachable:
    return Unreachable(f"{path}: no answer in time")
