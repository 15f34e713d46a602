import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from batch_operator.cluster import progress_server
from batch_operator.cluster.errors import Unreachable
from batch_operator.snapshot import PodRecord
from tests.unit.batch_operator.cluster.endpoint import GOOD, POD, Endpoint
from tests.unit.batch_operator.cluster.test_token_review import accepted, jwt


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with Endpoint() as endpoint:
        yield endpoint


async def chunks(size: int, count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * size


async def test_a_good_report_is_accepted(endpoint: Endpoint) -> None:
    assert await endpoint.post() == (204, {})
    pod, report = endpoint.accepted[0]
    assert pod == POD
    assert report.completed == {0, 1, 2}
    assert report.reasons == {6: "no such column"}
    assert endpoint.answers == [204]
    assert endpoint.fetched == []


async def test_a_known_pod_reports_again_without_any_request_to_the_api_server(endpoint: Endpoint) -> None:
    for _ in range(10):
        assert (await endpoint.post())[0] == 204
    assert len(endpoint.api.asked) == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        pytest.param("GET", "/v1/progress", 405, "METHOD_NOT_ALLOWED", id="get"),
        pytest.param("PUT", "/v1/progress", 405, "METHOD_NOT_ALLOWED", id="put"),
        pytest.param("POST", "/", 404, "NOT_FOUND", id="root"),
        pytest.param("POST", "/v1/progress/x", 404, "NOT_FOUND", id="below"),
        pytest.param("GET", "/metrics", 404, "NOT_FOUND", id="metrics-are-elsewhere"),
    ],
)
async def test_only_one_path_and_one_method(endpoint: Endpoint, method: str, path: str, status: int, code: str) -> None:
    found, answer = await endpoint.post(method=method, path=path)
    assert (found, answer["code"]) == (status, code)
    assert endpoint.api.asked == []


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", f"Basic {jwt()}", "Bearer garbage"])
async def test_without_a_token_of_the_right_shape_nobody_is_asked(
    endpoint: Endpoint, authorization: str | None
) -> None:
    status, answer, headers = await endpoint.ask(authorization=authorization)
    assert (status, answer["code"], headers["WWW-Authenticate"]) == (401, "UNAUTHORIZED", "Bearer")
    assert (endpoint.api.asked, endpoint.accepted) == ([], [])


async def test_a_bad_token_is_401(endpoint: Endpoint) -> None:
    endpoint.api.status = accepted(authenticated=False)
    assert (await endpoint.post())[0] == 401
    assert endpoint.accepted == []


async def test_a_token_is_looked_at_before_the_report_is(endpoint: Endpoint) -> None:
    endpoint.api.status = accepted(authenticated=False)
    assert (await endpoint.post(b"not json"))[0] == 401


async def test_an_api_server_that_is_down_is_503_with_a_time_to_come_back(endpoint: Endpoint) -> None:
    endpoint.api.status = Unreachable("no route")
    status, answer, headers = await endpoint.ask(authorization=f"Bearer {jwt()}")
    assert (status, answer["code"], headers["Retry-After"]) == (503, "UNAVAILABLE", "5")


async def test_too_many_unknown_tokens_are_429_with_a_time_to_come_back(endpoint: Endpoint) -> None:
    endpoint.api.status = accepted(authenticated=False)
    for number in range(200):
        assert (await endpoint.post(token=jwt(str(number))))[0] == 401
    status, answer, headers = await endpoint.ask(authorization=f"Bearer {jwt('one too many')}")
    assert (status, answer["code"], headers["Retry-After"]) == (429, "TOO_MANY_REQUESTS", "1")


class TestBody:
    async def test_64_kib_are_allowed(self, endpoint: Endpoint) -> None:
        body = json.dumps(GOOD).encode()
        assert (await endpoint.post(body + b" " * (64 * 1024 - len(body))))[0] == 204

    async def test_one_byte_more_is_413(self, endpoint: Endpoint) -> None:
        status, answer = await endpoint.post(b" " * (64 * 1024 + 1))
        assert (status, answer["code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert endpoint.api.asked == [], "judged before the token is reviewed"

    async def test_also_when_its_length_is_not_told(self, endpoint: Endpoint) -> None:
        assert (await endpoint.post(chunks(1024, 64)))[0] == 400  # blanks: small enough, but no JSON
        assert (await endpoint.post(chunks(1024, 65)))[0] == 413

    async def test_an_endless_body_is_413_and_not_read_to_its_end(self, endpoint: Endpoint) -> None:
        status, _ = await endpoint.post(chunks(16 * 1024, 400))
        assert status == 413

    async def test_a_packed_body_is_not_unpacked(self, endpoint: Endpoint) -> None:
        url = f"https://127.0.0.1:{endpoint.port}/v1/progress"
        headers = {"Authorization": f"Bearer {jwt()}", "Content-Encoding": "gzip"}
        data = gzip.compress(json.dumps(GOOD).encode())
        async with endpoint.session.post(url, data=data, headers=headers, ssl=endpoint.client_context) as answer:
            assert answer.status == 400

    @pytest.mark.parametrize(
        ("authorization", "status"),
        [
            pytest.param(f"Authorization: Bearer {jwt()}\r\n", b" 413 ", id="too-large-by-its-own-word"),
            pytest.param("", b" 401 ", id="without-a-token-that-comes-first"),
        ],
    )
    async def test_a_body_that_is_announced_too_large_is_not_waited_for(
        self, endpoint: Endpoint, authorization: str, status: bytes
    ) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=endpoint.client_context)
        head = f"POST /v1/progress HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: 99999\r\n\r\n"
        writer.write(head.encode())
        assert status in await asyncio.wait_for(reader.readline(), 5)
        writer.close()

    async def test_a_body_that_does_not_come_is_408(self, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(progress_server, "BODY_SECONDS", 0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=endpoint.client_context)
        head = f"POST /v1/progress HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {jwt()}\r\nContent-Length: 9\r\n\r\n"
        writer.write(head.encode() + b'{"a"')
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"not json", id="not-json"),
            pytest.param(b"\x1f\x8b\x08\x00", id="gzip"),
            pytest.param(b"[]", id="no-object"),
            pytest.param(b"\xff\xfe", id="no-utf-8"),
            pytest.param({"completed": 3}, id="number-for-ranges"),
            pytest.param({"completed": "3-1"}, id="range-backwards"),
            pytest.param({"completed": "1", "failed": "1"}, id="in-two-sets"),
            pytest.param({"reasons": ["x"]}, id="reasons-no-object"),
        ],
    )
    async def test_what_is_no_report_is_400(self, endpoint: Endpoint, body: Any) -> None:
        status, answer = await endpoint.post(body)
        assert (status, answer["code"]) == (400, "INVALID_REQUEST")
        assert answer["message"]
        assert endpoint.accepted == []

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param({"completed": "0-4"}, id="completed"),
            pytest.param({"processing": "7"}, id="processing"),
            pytest.param({"failed": "5"}, id="failed"),
            pytest.param({"completed": "0", "reasons": {"9": "why"}}, id="a-reason"),
        ],
    )
    async def test_numbers_outside_the_pod_s_block_are_400(self, endpoint: Endpoint, body: Any) -> None:
        status, answer = await endpoint.post(body)
        assert (status, answer["code"]) == (400, "INVALID_REQUEST")
        assert "is not of this pod's block '0-3,6'" in answer["message"]
        assert endpoint.accepted == []

    async def test_a_pod_without_inputs_may_report_items_only(self, endpoint: Endpoint) -> None:
        endpoint.pods[POD.uid] = replace(POD, inputs="")
        assert (await endpoint.post({"items": {"done": 3, "total": None, "failed": 0}}))[0] == 204
        assert (await endpoint.post({"completed": "0"}))[0] == 400


class TestPod:
    @pytest.mark.parametrize(
        "pod",
        [
            pytest.param(replace(POD, deleted=True), id="deleted"),
            pytest.param(replace(POD, phase="Succeeded"), id="succeeded"),
            pytest.param(replace(POD, phase="Failed"), id="failed"),
            pytest.param(replace(POD, owner_uid=""), id="of-no-job"),
            pytest.param(replace(POD, name="other"), id="other-name"),
            pytest.param(replace(POD, namespace="other"), id="other-namespace"),
        ],
    )
    async def test_a_pod_that_is_dead_or_not_ours_is_403(self, endpoint: Endpoint, pod: PodRecord) -> None:
        endpoint.pods[POD.uid] = pod
        status, answer = await endpoint.post()
        assert (status, answer["code"]) == (403, "FORBIDDEN")
        assert endpoint.accepted == []

    async def test_it_is_looked_at_on_every_request(self, endpoint: Endpoint) -> None:
        assert (await endpoint.post())[0] == 204
        endpoint.pods[POD.uid] = replace(POD, deleted=True)
        assert (await endpoint.post())[0] == 403

    @pytest.mark.parametrize("change", [{"deleting": True}, {"phase": "Pending"}])
    async def test_one_that_still_lives_is_heard(self, endpoint: Endpoint, change: dict[str, Any]) -> None:
        endpoint.pods[POD.uid] = replace(POD, **change)
        assert (await endpoint.post())[0] == 204

    async def test_it_is_looked_at_before_the_report_is(self, endpoint: Endpoint) -> None:
        endpoint.pods.clear()
        assert (await endpoint.post(b"not json"))[0] == 403

    async def test_a_pod_too_young_for_our_cache_is_looked_up(self, endpoint: Endpoint) -> None:
        endpoint.pods.clear()
        endpoint.remote = POD
        assert (await endpoint.post())[0] == 204
        assert endpoint.fetched == [("team", "pod-a")]

    async def test_one_that_is_not_there_either_is_403_and_not_looked_up_again_at_once(
        self, endpoint: Endpoint
    ) -> None:
        endpoint.pods.clear()
        assert (await endpoint.post())[0] == 403
        assert (await endpoint.post())[0] == 403
        assert len(endpoint.fetched) == 1
        endpoint.clock.advance(5)
        assert (await endpoint.post())[0] == 403
        assert len(endpoint.fetched) == 2

    @pytest.mark.parametrize(
        "remote",
        [
            pytest.param(replace(POD, uid="uid-b"), id="the-name-has-another-pod-now"),
            pytest.param(replace(POD, owner_uid=""), id="a-pod-of-somebody-else"),
        ],
    )
    async def test_a_foreign_pod_is_403_and_looked_up_once(self, endpoint: Endpoint, remote: PodRecord) -> None:
        endpoint.pods.clear()
        endpoint.remote = remote
        assert (await endpoint.post())[0] == 403
        assert (await endpoint.post())[0] == 403
        assert len(endpoint.fetched) == 1

    async def test_if_it_cannot_be_looked_up_the_worker_comes_back(self, endpoint: Endpoint) -> None:
        endpoint.pods.clear()
        endpoint.remote = Unreachable("no route")
        assert (await endpoint.post())[0] == 503
        endpoint.remote = POD
        assert (await endpoint.post())[0] == 204

    async def test_look_ups_are_limited(self, endpoint: Endpoint) -> None:
        endpoint.pods.clear()
        extra = accepted()["user"]["extra"]
        statuses = []
        for number in range(51):
            user = accepted()["user"] | {"extra": extra | {"authentication.kubernetes.io/pod-uid": [f"u{number}"]}}
            endpoint.api.status = accepted(user=user)
            statuses.append((await endpoint.post(token=jwt(str(number))))[0])
        assert statuses == [403] * 50 + [429]


async def test_a_bug_of_ours_is_500_and_tells_no_details(endpoint: Endpoint) -> None:
    endpoint.broken = True
    status, answer = await endpoint.post()
    assert (status, answer["code"]) == (500, "INTERNAL")
    assert "boom" not in answer["message"]
    assert endpoint.answers == [500]


async def test_a_report_for_a_job_that_has_ended_is_refused(endpoint: Endpoint) -> None:
    endpoint.job_lives = False
    assert (await endpoint.post({"completed": "0"}))[0] == 403
