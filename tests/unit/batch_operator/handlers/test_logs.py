"""What a line of the log looks like, ours and a library's alike; and that none ever fails the one who writes it."""

import io
import logging
import sys
from collections.abc import Iterator
from typing import Literal

import orjson
import pytest
import structlog

from batch_operator.handlers.logs import configure


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, chosen = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**chosen)


def written(monkeypatch: pytest.MonkeyPatch, form: Literal["json", "console"] = "json") -> io.TextIOWrapper:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    configure("INFO", form)
    return out


def lines(out: io.TextIOWrapper) -> list[bytes]:
    out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    return out.buffer.getvalue().splitlines()


def test_our_lines_and_those_of_a_library_say_the_same_things(monkeypatch: pytest.MonkeyPatch) -> None:
    out = written(monkeypatch)
    log = structlog.get_logger("batch_operator.here")
    log.debug("not asked for")
    log.info("admitted", namespace="team-a", name="tep", reason="Admitted")
    logging.getLogger("library").warning("so %s", "it is")
    ours, other = (orjson.loads(line) for line in lines(out))
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {
        "event": "admitted",
        "namespace": "team-a",
        "name": "tep",
        "reason": "Admitted",
        "level": "info",
        "logger": "batch_operator.here",
    }
    assert (other["event"], other["level"], other["logger"]) == ("so it is", "warning", "library")


def test_a_trace_is_in_the_same_line(monkeypatch: pytest.MonkeyPatch) -> None:
    out = written(monkeypatch)
    try:
        raise RuntimeError("for the log")
    except RuntimeError:
        structlog.get_logger("here").exception("it failed")
    (line,) = lines(out)
    assert orjson.loads(line)["exception"].splitlines()[-1] == "RuntimeError: for the log"


@pytest.mark.parametrize("form", ["json", "console"])
def test_half_a_character_is_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch, form: Literal["json", "console"]
) -> None:
    out = written(monkeypatch, form)
    structlog.get_logger("here").info("its message is \ud83d", name="tep")
    (line,) = lines(out)
    assert b"ud83d" in line


def test_nor_is_a_closed_output(monkeypatch: pytest.MonkeyPatch) -> None:
    out = written(monkeypatch)
    log = structlog.get_logger("here")
    out.close()
    log.info("to nobody")
