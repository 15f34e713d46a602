"""A progress endpoint on loopback whose API server is a fake, for the tests of its server and of its connections."""

import json
import ssl
import tempfile
from datetime import UTC, datetime
from typing import Any

import aiohttp

from batch_operator.api.report import Report
from batch_operator.cluster.certificates import KeyPair, new_authority, new_serving_certificate
from batch_operator.cluster.connections import GuardedSite
from batch_operator.cluster.errors import ApiError, NotFound
from batch_operator.cluster.progress_server import ProgressEndpoint
from batch_operator.cluster.rate_limit import TokenBucket
from batch_operator.cluster.token_review import TokenReviewer
from batch_operator.snapshot import PodRecord
from tests.unit.batch_operator.cluster.clocks import FakeTimers
from tests.unit.batch_operator.cluster.test_token_review import FakeApi, jwt

POD = PodRecord(
    namespace="team",
    name="pod-a",
    uid="uid-a",
    resource_version="1",
    owner_uid="job-uid",
    job_name="job",
    component="worker",
    index=0,
    attempt=0,
    inputs="0-3,6",
    phase="Running",
)
GOOD = {"completed": "0-2", "processing": "3", "failed": "6", "reasons": {"6": "no such column"}}


class Endpoint:
    """A progress endpoint on a loopback port over TLS, with an API server that is a fake."""

    def __init__(self, **site: Any) -> None:
        self.api = FakeApi()
        self.clock = FakeTimers()
        self.pods = {POD.uid: POD}
        self.remote: PodRecord | ApiError = NotFound(404, "NotFound", "not there")
        self.fetched: list[tuple[str, str]] = []
        self.accepted: list[tuple[PodRecord, Report]] = []
        self.job_lives = True
        self.answers: list[int] = []
        self.broken = False
        reviewer = TokenReviewer(self.api, clock=self.clock, limit=TokenBucket(1, 200, self.clock))
        endpoint = ProgressEndpoint(
            reviewer,
            self.pods.get,
            self._fetch,
            self._accept,
            on_answer=self.answers.append,
            clock=self.clock,
        )
        now = datetime.now(UTC)
        self.ca = new_authority(now)
        context = _context(new_serving_certificate(self.ca, ["127.0.0.1"], now))
        self.client_context = ssl.create_default_context(cadata=self.ca.certificate.decode())
        self.site = GuardedSite(endpoint.app(), context, **site)
        self.port = 0

    async def _fetch(self, namespace: str, name: str) -> PodRecord:
        self.fetched.append((namespace, name))
        if isinstance(self.remote, ApiError):
            raise self.remote
        return self.remote

    def _accept(self, pod: PodRecord, report: Report) -> bool:
        if self.broken:
            raise RuntimeError("boom")
        self.accepted.append((pod, report))
        return self.job_lives

    async def __aenter__(self) -> "Endpoint":
        self.port = await self.site.start("127.0.0.1", 0)
        self.session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        await self.site.stop()

    async def post(
        self, body: Any = GOOD, token: str | None = None, path: str = "/v1/progress", method: str = "POST"
    ) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of the answer."""
        status, answer, _ = await self.ask(body, f"Bearer {token or jwt()}", path, method)
        return status, answer

    async def ask(
        self,
        body: Any = GOOD,
        authorization: str | None = None,
        path: str = "/v1/progress",
        method: str = "POST",
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        headers = {"Authorization": authorization} if authorization else {}
        data = body if isinstance(body, bytes) or hasattr(body, "__aiter__") else json.dumps(body).encode()
        url = f"https://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, data=data, headers=headers, ssl=self.client_context) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else {}, dict(answer.headers)


def _context(pair: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pair.private_key + pair.certificate)
        file.flush()
        context.load_cert_chain(file.name)
    return context
