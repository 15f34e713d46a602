"""The state of this pod's inputs, and its two written forms: the report's body and the termination message. No I/O.

`runner` and `parts` write the state, `reporter` reads it from its own thread.
"""

import json
import threading
from collections.abc import Iterable
from typing import Any

from batch_worker import ranges

REASON_LENGTH = 120
MOST_REASONS = 10
NOTICE_LENGTH = 250
TERMINATION_BYTES = 3_500


class State:
    """Inputs completed, processing and failed, and the items in them. Every change counts `revision` up.

    `ended` counts up only where an input ended or an error was set: that is worth a report at once. Thread-safe.
    """

    def __init__(self, inputs: Iterable[int]) -> None:
        self._lock = threading.Lock()
        self._open = set(inputs)
        self._completed: set[int] = set()
        self._failed: dict[int, str] = {}
        self._processing: int | None = None
        self._done = self._bad = 0
        self._current = (0, 0)
        self._notice = ""
        self._error: dict[str, str] | None = None
        self.revision = self.ended = 0

    def start(self, number: int) -> None:
        """Input `number` is being worked on."""
        with self._lock:
            self._processing, self._current = number, (0, 0)
            self.revision += 1

    def advance(self, done: int, failed: int) -> None:
        """Items of the current input so far, not a difference."""
        with self._lock:
            self._current = (done, failed)
            self.revision += 1

    def complete(self, number: int, done: int, failed: int) -> None:
        """Input `number` is committed with these items."""
        with self._lock:
            self._completed.add(number)
            self._end(number, done, failed)

    def fail(self, number: int, reason: str) -> None:
        """Input `number` cannot be processed. Its items so far no longer count: there is no result that holds them."""
        with self._lock:
            self._failed[number] = shorten(reason, REASON_LENGTH)
            self._end(number, 0, 0)

    def _end(self, number: int, done: int, failed: int) -> None:
        self._open.discard(number)
        self._done, self._bad = self._done + done, self._bad + failed
        self._processing, self._current = None, (0, 0)
        self.revision += 1
        self.ended += 1

    def release(self) -> None:
        """The current input goes back to the open ones: the worker stops."""
        with self._lock:
            self._processing, self._current = None, (0, 0)
            self.revision += 1

    def notice(self, text: str) -> None:
        """A sentence that people should see, such as which encoder really ran."""
        with self._lock:
            self._notice = shorten(text, NOTICE_LENGTH)
            self.revision += 1

    def error(self, code: str, message: str, suggestion: str) -> None:
        """Why the whole job must fail; only with exit 64."""
        with self._lock:
            self._error = {"code": code, "message": shorten(message, 1000), "suggestion": shorten(suggestion, 500)}
            self.revision += 1
            self.ended += 1

    def counts(self) -> dict[str, int]:
        """For the log."""
        with self._lock:
            return {"completed": len(self._completed), "failed": len(self._failed), "open": len(self._open)}

    def body(self) -> dict[str, Any]:
        """The whole state as the progress endpoint takes it."""
        with self._lock:
            done, bad = self._done + self._current[0], self._bad + self._current[1]
            body: dict[str, Any] = {
                "completed": ranges.render(self._completed),
                "processing": "" if self._processing is None else str(self._processing),
                "failed": ranges.render(self._failed),
                "reasons": {str(number): self._failed[number] for number in sorted(self._failed)[:MOST_REASONS]},
                "items": {"done": done, "total": None if self._open else done + bad, "failed": bad},
            }
            if self._notice:
                body["notice"] = self._notice
            if self._error:
                body["error"] = dict(self._error)
            return body


def encode(body: dict[str, Any]) -> bytes:
    """A body as it goes over the wire."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def termination_message(body: dict[str, Any], limit: int = TERMINATION_BYTES) -> bytes:
    """`body` in at most `limit` bytes, always whole JSON; the kubelet cuts at 4,096, and cut JSON is no report.

    Dropped in this order: reasons from the last, notice, items, processing, then the numbers of failed inputs (after
    exit 0 the operator fails what is still open anyway). Empty where even that is too long: the reports have told the
    rest.
    """
    body = dict(body)
    body["reasons"] = dict(body.get("reasons", {}))
    while len(encode(body)) > limit and body["reasons"]:
        body["reasons"].popitem()
    if len(encode(body)) > limit and "error" in body:
        body["error"] = {name: shorten(text, 400) for name, text in body["error"].items()}
    for name, empty in (("notice", None), ("items", None), ("processing", ""), ("failed", "")):
        if len(encode(body)) <= limit:
            break
        if empty is None:
            body.pop(name, None)
        else:
            body[name] = empty
    message = encode(body)
    return message if len(message) <= limit else b""


def shorten(text: str, length: int) -> str:
    """`text` on one line, at most `length` characters."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
