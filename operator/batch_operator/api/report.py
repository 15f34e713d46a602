"""What a worker says of its index: the body of a progress POST and, alike, the termination message.

Called by cluster.progress_server for what comes over the network and by policies for what a dead
pod left behind. The format is the pod contract of docs/pod-contract.md (design section 4).
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from batch_operator.api import ranges
from batch_operator.api.words import one_line

MAX_REASONS = 10
MAX_REASON_LENGTH = 120
MAX_NOTICE_LENGTH = 250
MAX_ERROR_LENGTH = 1000
_SAYS_SOMETHING = frozenset({"completed", "processing", "failed", "items", "error"})
"""A report has at least one of these: the last line of a JSON log is none."""
ERROR_CODES = ("INVALID_REQUEST", "TAMPERED")


class ReportError(ValueError):
    """The bytes are no report; str() names the field and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class WorkerError:
    """Why a worker gave up at once (exit code 64), in its own words."""

    code: str
    message: str
    suggestion: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The whole state of one index: three disjoint sets of input numbers, and the reasons of the failed."""

    completed: frozenset[int] = frozenset()
    processing: frozenset[int] = frozenset()
    failed: frozenset[int] = frozenset()
    reasons: dict[int, str] = field(default_factory=dict)
    notice: str = ""
    error: WorkerError | None = None

    @property
    def numbers(self) -> frozenset[int]:
        return self.completed | self.processing | self.failed

    @classmethod
    def parse(cls, body: bytes | str) -> "Report":
        """Raises ReportError. Unknown fields are ignored, so that newer workers can say more."""
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise ReportError("the body is not JSON") from None
        if not isinstance(data, dict):
            raise ReportError("the body is not a JSON object")
        if not _SAYS_SOMETHING.intersection(data):
            raise ReportError(f"the body has none of {', '.join(sorted(_SAYS_SOMETHING))}")
        sets = {name: _numbers(data, name) for name in ("completed", "processing", "failed")}
        for left, right in (("completed", "processing"), ("completed", "failed"), ("processing", "failed")):
            if both := sets[left] & sets[right]:
                raise ReportError(f"{left} and {right} both hold input {min(both)}")
        _check_items(data)
        return cls(
            **sets,
            reasons=_reasons(data),
            notice=_text(data, "notice", MAX_NOTICE_LENGTH),
            error=_error(data),
        )


def _numbers(data: dict[str, Any], name: str) -> frozenset[int]:
    value = data.get(name, "")
    if not isinstance(value, str):
        raise ReportError(f'{name} must be ranges in a string, such as "0-3,6"')
    try:
        return ranges.parse(value)
    except ranges.RangeError as error:
        raise ReportError(f"{name}: {error}") from None


def _reasons(data: dict[str, Any]) -> dict[int, str]:
    value = data.get("reasons") or {}
    if not isinstance(value, dict):
        raise ReportError("reasons must be an object: input number -> text")
    reasons: dict[int, str] = {}
    for key, text in value.items():
        if not (key.isascii() and key.isdigit() and len(key) <= 6) or not isinstance(text, str):
            raise ReportError(f"reasons: {key!r} must be an input number with a text")
        reasons[int(key)] = one_line(text, MAX_REASON_LENGTH)
    return dict(sorted(reasons.items())[:MAX_REASONS])


def _check_items(data: dict[str, Any]) -> None:
    items = data.get("items")
    if items is None:
        return
    if not isinstance(items, dict):
        raise ReportError("items must be an object with done, total and failed")
    for name in ("done", "total", "failed"):
        value = items.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise ReportError(f"items.{name} must be a whole number of at least 0")


def _error(data: dict[str, Any]) -> WorkerError | None:
    value = data.get("error")
    if value is None:
        return None
    if not isinstance(value, dict) or value.get("code") not in ERROR_CODES:
        raise ReportError(f"error.code must be one of {', '.join(ERROR_CODES)}")
    message = _text(value, "message", MAX_ERROR_LENGTH)
    if not message:
        raise ReportError("error.message must say what is wrong")
    return WorkerError(value["code"], message, _text(value, "suggestion", MAX_ERROR_LENGTH))


def _text(data: dict[str, Any], name: str, limit: int) -> str:
    value = data.get(name) or ""
    if not isinstance(value, str):
        raise ReportError(f"{name} must be a text")
    return one_line(value, limit)
