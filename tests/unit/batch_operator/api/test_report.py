import json
from typing import Any

import pytest

from batch_operator.api.report import Report, ReportError, WorkerError


def test_a_whole_report() -> None:
    body = {
        "completed": "0-2",
        "processing": "3",
        "failed": "5",
        "reasons": {"5": "no column xmeas_1"},
        "items": {"done": 900, "total": None, "failed": 3},
        "notice": "encoder\nrocket_1",
        "error": {"code": "INVALID_REQUEST", "message": "n_neighbors: 50 is above 12"},
    }
    report = Report.parse(json.dumps(body))
    assert report.completed == {0, 1, 2}
    assert report.processing == {3}
    assert report.failed == {5}
    assert report.reasons == {5: "no column xmeas_1"}
    assert report.notice == "encoder rocket_1"
    assert report.error == WorkerError("INVALID_REQUEST", "n_neighbors: 50 is above 12")
    assert report.numbers == {0, 1, 2, 3, 5}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param("{", "not JSON", id="half a body"),
        pytest.param("[]", "not a JSON object", id="a list"),
        pytest.param({"completed": [1]}, "completed must be ranges", id="a list of numbers"),
        pytest.param({"failed": "5-"}, "failed:", id="no range"),
        pytest.param({"completed": "1-3", "failed": "3"}, "both hold input 3", id="completed and failed at once"),
        pytest.param({"failed": "5", "reasons": {"x": "why"}}, "reasons:", id="reason without a number"),
        pytest.param({"failed": "5", "reasons": ["why"]}, "reasons must be", id="reasons as list"),
        pytest.param({"completed": "", "items": {"done": -1}}, "items.done", id="negative count"),
        pytest.param({"error": {"code": "PWNED", "message": "x"}}, "error.code", id="unknown error code"),
        pytest.param({"error": {"code": "TAMPERED"}}, "error.message", id="error without words"),
        pytest.param({"completed": "", "notice": 5}, "notice must be a text", id="notice as number"),
        pytest.param({"level": "fatal", "msg": "cannot open"}, "the body has none of", id="the last line of a log"),
    ],
)
def test_what_is_no_report_says_why(body: Any, words: str) -> None:
    with pytest.raises(ReportError, match=words):
        Report.parse(body if isinstance(body, str) else json.dumps(body))


def test_reasons_are_bounded() -> None:
    report = Report.parse(json.dumps({"failed": "0-30", "reasons": {str(n): "x" * 500 for n in range(31)}}))
    assert sorted(report.reasons) == list(range(10))
    assert max(len(text) for text in report.reasons.values()) == 120
