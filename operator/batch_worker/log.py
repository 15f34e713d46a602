"""Structured logs: one JSON object a line on stdout, one line a decision. Called from everywhere in this package."""

import json
import sys
import threading
import time
from typing import Any

_lock = threading.Lock()


def write(level: str, message: str, **fields: Any) -> None:
    """Write one line. A stdout that is closed or full is no reason to end the work, so its errors are dropped."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
    line = json.dumps({"time": stamp, "level": level, "message": message, **fields}, ensure_ascii=False, default=str)
    with _lock:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except (OSError, ValueError, UnicodeError):
            pass


def info(message: str, **fields: Any) -> None:
    """A decision that goes as planned."""
    write("info", message, **fields)


def warning(message: str, **fields: Any) -> None:
    """Something a person may want to look at; the work goes on."""
    write("warning", message, **fields)


def error(message: str, **fields: Any) -> None:
    """The reason why this process ends badly."""
    write("error", message, **fields)
