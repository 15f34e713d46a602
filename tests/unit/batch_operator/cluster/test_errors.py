from typing import Any

import pytest

from batch_operator.cluster import errors
from tests.unit.batch_operator.cluster.scripted_server import status


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        pytest.param(401, "Unauthorized", errors.Unauthorized, id="401"),
        pytest.param(403, "Forbidden", errors.Forbidden, id="403"),
        pytest.param(404, "NotFound", errors.NotServed, id="404-of-no-object"),
        pytest.param(409, "AlreadyExists", errors.AlreadyExists, id="409-name-taken"),
        pytest.param(409, "Conflict", errors.Conflict, id="409-stale"),
        pytest.param(410, "Expired", errors.Gone, id="410-expired"),
        pytest.param(410, "Gone", errors.Gone, id="410-gone"),
        pytest.param(422, "Invalid", errors.Invalid, id="422"),
        pytest.param(429, "TooManyRequests", errors.TooManyRequests, id="429"),
        pytest.param(500, "InternalError", errors.ServerError, id="500"),
        pytest.param(504, "Timeout", errors.ServerError, id="504"),
        pytest.param(400, "BadRequest", errors.ApiError, id="400-plain"),
    ],
)
def test_the_code_and_reason_choose_the_exception(code: int, reason: str, kind: type) -> None:
    error = errors.error_from_response(code, status(code, reason, "the server's own words"))
    assert type(error) is kind
    assert (error.status, error.reason, str(error)) == (code, reason, "the server's own words")


def test_a_404_that_names_an_object_says_that_it_is_not_there() -> None:
    error = errors.error_from_response(404, status(404, "NotFound", 'pods "a" not found', name="a", kind="pods"))
    assert type(error) is errors.NotFound


def test_details_are_kept_for_the_caller() -> None:
    error = errors.error_from_response(422, status(422, "Invalid", "no", causes=[{"field": "spec.inputs"}]))
    assert error.details["causes"] == [{"field": "spec.inputs"}]


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [
        pytest.param("3", {}, 3.0, id="header"),
        pytest.param(None, {"retryAfterSeconds": 7}, 7.0, id="details"),
        pytest.param("3", {"retryAfterSeconds": 7}, 3.0, id="the-header-wins"),
        pytest.param("Wed, 21 Oct 2026 07:28:00 GMT", {}, None, id="a-date-is-not-read"),
        pytest.param("inf", {}, None, id="no-wait-is-endless"),
        pytest.param(None, {}, None, id="neither"),
    ],
)
def test_retry_after(header: str | None, details: dict[str, Any], seconds: float | None) -> None:
    body = status(429, "TooManyRequests", "slow down", **details)
    assert errors.error_from_response(429, body, retry_after=header).retry_after == seconds


def test_a_proxy_s_page_is_quoted_in_short() -> None:
    error = errors.error_from_response(502, "<html>upstream " + "x" * 5000)
    assert isinstance(error, errors.ServerError)
    assert str(error).startswith("HTTP 502 Bad Gateway: <html>upstream")
    assert len(str(error)) < 400


def test_an_error_event_of_a_watch_is_told_apart_by_its_code() -> None:
    event = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (9)"}
    error = errors.error_from_status(event)
    assert type(error) is errors.Gone
    assert str(error) == "too old resource version: 1 (9)"


def test_a_status_without_code_is_a_server_error() -> None:
    assert type(errors.error_from_status({})) is errors.ServerError
