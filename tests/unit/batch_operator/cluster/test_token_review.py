import asyncio
import base64
import gc
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
import structlog.testing

from batch_operator.cluster.client import Object
from batch_operator.cluster.errors import ApiError, ServerError, Unreachable
from batch_operator.cluster.rate_limit import TokenBucket
from batch_operator.cluster.token_review import (
    PodIdentity,
    ReviewUnavailable,
    TokenRefused,
    TokenReviewer,
    TooManyReviews,
)
from tests.unit.batch_operator.cluster.clocks import FakeTimers

AUDIENCE = "batch-operator.dev/progress"
EPOCH = 1_800_000_000.0  # the wall clock when the fake clock shows 1000


def jwt(subject: str = "a", **claims: Any) -> str:
    def part(data: object) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(data)).decode().rstrip("=")

    return f"{part({'alg': 'RS256'})}.{part({'sub': subject, **claims})}.c2lnbmF0dXJl"


def accepted(**changes: Any) -> Object:
    extra = {
        "authentication.kubernetes.io/pod-name": ["pod-a"],
        "authentication.kubernetes.io/pod-uid": ["uid-a"],
    }
    user = {"username": "system:serviceaccount:team:worker", "extra": extra}
    return {"authenticated": True, "audiences": [AUDIENCE], "user": user} | changes


class FakeApi:
    def __init__(self) -> None:
        self.status: Object | ApiError = accepted()
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.gate: asyncio.Event | None = None

    async def create(self, path: str, obj: Mapping[str, Any]) -> Object:
        self.asked.append((path, obj))
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.status, ApiError):
            raise self.status
        return {"status": self.status}


class Setting:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.clock = FakeTimers()
        self.bucket = TokenBucket(1, 3, self.clock)
        self.reviewer = TokenReviewer(
            self.api,
            clock=self.clock,
            wall_clock=lambda: EPOCH + self.clock.now - 1000,
            limit=self.bucket,
        )

    async def outcome(self, token: str) -> str:
        try:
            return (await self.reviewer.review(token)).pod_uid
        except TokenRefused as error:
            return f"refused: {error}"


@pytest.fixture
def setting() -> Setting:
    return Setting()


async def test_a_pod_s_token_tells_which_pod_it_is(setting: Setting) -> None:
    token = jwt()
    assert await setting.reviewer.review(token) == PodIdentity("team", "worker", "pod-a", "uid-a")
    path, review = setting.api.asked[0]
    assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
    assert review["spec"] == {"token": token, "audiences": [AUDIENCE]}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param(accepted(authenticated=False), "does not accept this token", id="not-authenticated"),
        pytest.param({}, "does not accept this token", id="empty-answer"),
        pytest.param(accepted(audiences=["https://kubernetes"]), "not for audience", id="other-audience"),
        pytest.param(accepted(audiences=None), "not for audience", id="a-server-that-knows-no-audiences"),
        pytest.param(
            accepted(user={"username": "system:serviceaccount:team:worker"}), "not bound to a pod", id="no-pod"
        ),
        pytest.param(
            accepted(
                user={
                    "username": "system:serviceaccount:team:worker",
                    "extra": {"authentication.kubernetes.io/pod-name": ["pod-a"]},
                }
            ),
            "not bound to a pod",
            id="pod-name-without-uid",
        ),
        pytest.param(
            accepted(user=accepted()["user"] | {"username": "oidc:team:worker"}),
            "not bound to a pod",
            id="a-name-that-looks-like-one",
        ),
        pytest.param(accepted(user=accepted()["user"] | {"username": "jane"}), "not bound to a pod", id="a-person"),
    ],
)
async def test_any_other_token_is_refused(setting: Setting, status: Object, words: str) -> None:
    setting.api.status = status
    with pytest.raises(TokenRefused, match=words):
        await setting.reviewer.review(jwt())


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("abc", id="a-word"),
        pytest.param("a.b", id="two-parts"),
        pytest.param("a.b.c.d", id="four-parts"),
        pytest.param("a.b c.d", id="blank"),
        pytest.param("a..c", id="empty-part"),
        pytest.param("aGk.aGk.aGk", id="payload-no-json"),
        pytest.param("e30.W10.e30", id="payload-no-object"),
        pytest.param("e30.e30x.e30", id="payload-no-base64"),
        pytest.param("e30.e30.e30\n", id="line-end"),
        pytest.param(jwt("x" * 9000), id="too-long"),
    ],
)
async def test_what_is_no_jwt_is_refused_without_a_review(setting: Setting, token: str) -> None:
    with pytest.raises(TokenRefused, match="not a JWT"):
        await setting.reviewer.review(token)
    assert setting.api.asked == []


async def test_an_accepted_token_is_asked_about_once_a_minute(setting: Setting) -> None:
    await setting.reviewer.review(jwt())
    setting.clock.advance(59.9)
    await setting.reviewer.review(jwt())
    assert len(setting.api.asked) == 1
    setting.clock.advance(0.1)
    await setting.reviewer.review(jwt())
    assert len(setting.api.asked) == 2


async def test_never_past_the_token_s_own_end(setting: Setting) -> None:
    token = jwt(exp=EPOCH + 20)
    await setting.reviewer.review(token)
    setting.clock.advance(19)
    assert await setting.outcome(token) == "uid-a"
    setting.clock.advance(1)
    setting.api.status = accepted(authenticated=False)
    assert "refused" in await setting.outcome(token)


async def test_a_refusal_is_kept_for_five_seconds(setting: Setting) -> None:
    setting.api.status = accepted(authenticated=False)
    assert "refused" in await setting.outcome(jwt())
    setting.api.status = accepted()
    setting.clock.advance(4.9)
    assert "refused" in await setting.outcome(jwt())
    assert len(setting.api.asked) == 1
    setting.clock.advance(0.1)
    assert await setting.outcome(jwt()) == "uid-a"


async def test_one_token_s_answer_is_no_other_s(setting: Setting) -> None:
    assert await setting.outcome(jwt("a")) == "uid-a"
    setting.api.status = accepted(authenticated=False)
    assert "refused" in await setting.outcome(jwt("b"))


async def test_requests_with_one_token_share_a_review(setting: Setting) -> None:
    setting.api.gate = asyncio.Event()
    waiting = [asyncio.create_task(setting.outcome(jwt())) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # the one that began it hangs up
    await asyncio.sleep(0)
    setting.api.gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert outcomes[1:] == ["uid-a"] * 19
    assert len(setting.api.asked) == 1


@pytest.mark.parametrize("error", [Unreachable("no route"), ServerError(503, "ServiceUnavailable", "etcd is away")])
async def test_an_api_server_that_does_not_answer_is_not_a_refusal_and_not_remembered(
    setting: Setting, error: ApiError
) -> None:
    setting.api.status = error
    with pytest.raises(ReviewUnavailable):
        await setting.reviewer.review(jwt())
    setting.api.status = accepted()
    assert await setting.outcome(jwt()) == "uid-a"


async def test_a_failure_that_nobody_waits_for_any_more_is_no_noise(setting: Setting) -> None:
    noise: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    setting.api.gate = asyncio.Event()
    setting.api.status = Unreachable("no route")
    waiting = asyncio.create_task(setting.outcome(jwt()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    setting.api.gate.set()
    for _ in range(5):
        await asyncio.sleep(0)
    gc.collect()
    assert noise == []


async def test_unknown_tokens_are_reviewed_at_a_limited_rate_and_known_ones_always(setting: Setting) -> None:
    known = jwt("known")
    await setting.reviewer.review(known)
    await setting.outcome(jwt("x1"))
    await setting.outcome(jwt("x2"))
    with pytest.raises(TooManyReviews) as caught:
        await setting.reviewer.review(jwt("x3"))
    assert caught.value.retry_after == 1.0
    assert len(setting.api.asked) == 3
    assert await setting.outcome(known) == "uid-a"
    setting.clock.advance(1)
    assert await setting.outcome(jwt("x3")) == "uid-a"


async def test_no_token_is_logged_or_quoted(setting: Setting) -> None:
    token = jwt()
    with structlog.testing.capture_logs() as logs:
        setting.api.status = Unreachable("no route")
        with pytest.raises(ReviewUnavailable) as first:
            await setting.reviewer.review(token)
        setting.api.status = accepted(authenticated=False)
        with pytest.raises(TokenRefused) as second:
            await setting.reviewer.review(token)
    for part in token.split("."):
        assert part not in f"{logs}{first.value}{second.value}"
