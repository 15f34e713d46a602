"""The audit log as a clock: what counts as a request, and reading on from a file that grows."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.audit import AuditLog, decode


def line(**changes: Any) -> bytes:
    raw: dict[str, Any] = {
        "stage": "ResponseComplete",
        "verb": "patch",
        "user": {"username": "system:serviceaccount:bench:operator"},
        "userAgent": "batch-operator",
        "objectRef": {
            "resource": "batchjobs",
            "subresource": "status",
            "apiGroup": "batch-operator.dev",
            "namespace": "bench-1",
            "name": "job-00001",
        },
        "responseStatus": {"code": 200},
        "requestReceivedTimestamp": "2026-11-22T20:25:33.498080Z",
        "stageTimestamp": "2026-11-22T20:25:33.499494Z",
    }
    return json.dumps({**raw, **changes}).encode() + b"\n"


def test_an_entry_says_who_did_what_when_and_with_which_answer() -> None:
    entry = decode(line())
    assert entry is not None
    assert (entry.verb, entry.resource, entry.group) == ("patch", "batchjobs/status", "batch-operator.dev")
    assert (entry.namespace, entry.name, entry.code, entry.held) == ("bench-1", "job-00001", 200, True)
    assert entry.user == "system:serviceaccount:bench:operator"
    assert entry.done - entry.received == pytest.approx(0.001414, abs=1e-6)


def test_a_request_that_is_under_way_does_not_count() -> None:
    assert decode(line(stage="ResponseStarted")) is None


def test_a_refused_write_has_not_held() -> None:
    entry = decode(line(responseStatus={"code": 409}))
    assert entry is not None
    assert entry.is_write
    assert not entry.held


def test_a_watch_is_neither_a_read_nor_a_write() -> None:
    entry = decode(line(verb="watch", objectRef={"resource": "pods"}))
    assert entry is not None
    assert not entry.is_read
    assert not entry.is_write


def test_reading_goes_on_where_it_stopped_and_leaves_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(line())
    log = AuditLog(path)
    assert list(log.new()) == []
    half = line()
    with path.open("ab") as file:
        file.write(line() + half[:50])
    assert len(list(log.new())) == 1
    with path.open("ab") as file:
        file.write(half[50:])
    assert len(list(log.new())) == 1
