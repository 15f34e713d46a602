import asyncio
import base64
import copy
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog.testing
from cryptography import x509

from batch_operator.cluster.client import Object
from batch_operator.cluster.errors import AlreadyExists, Conflict, NotFound, Unreachable
from batch_operator.cluster.tls_secret import ServingCertificate

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTS = ["127.0.0.1", "progress.test"]


class FakeSecrets:
    """One Secret behind the rules of an API server: versions, 404, and both kinds of 409."""

    def __init__(self, secret: Object | None = None) -> None:
        self.secret = secret
        self.calls: list[str] = []
        self.before_write: list[Any] = []
        self.down = False

    async def get(self, path: str) -> Object:
        self.calls.append(f"get {path}")
        if self.down:
            raise Unreachable("no route")
        if self.secret is None:
            raise NotFound(404, "NotFound", "not there")
        return copy.deepcopy(self.secret)

    async def create(self, path: str, obj: Mapping[str, Any]) -> Object:
        self.calls.append(f"create {path}")
        self._meddle()
        if self.secret is not None:
            raise AlreadyExists(409, "AlreadyExists", "there already")
        return self._store(obj)

    async def update(self, path: str, obj: Mapping[str, Any]) -> Object:
        self.calls.append(f"update {path}")
        self._meddle()
        assert self.secret is not None
        if obj["metadata"]["resourceVersion"] != self.secret["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", "the object has been modified")
        return self._store(obj)

    def _store(self, obj: Mapping[str, Any]) -> Object:
        version = int((self.secret or {"metadata": {"resourceVersion": "0"}})["metadata"]["resourceVersion"]) + 1
        secret: Object = copy.deepcopy(dict(obj))
        secret["metadata"]["resourceVersion"] = str(version)
        self.secret = secret
        return secret

    def _meddle(self) -> None:
        if self.before_write:
            self.before_write.pop(0)()

    def data(self, key: str) -> bytes:
        assert self.secret is not None
        return base64.b64decode(self.secret["data"][key])

    def verbs(self) -> list[str]:
        return [call.split()[0] for call in self.calls]


class Clock:
    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)
        await asyncio.sleep(0)


def empty() -> Object:
    """The Secret as the chart ships it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": "tls", "namespace": "system", "resourceVersion": "7", "labels": {"app": "x"}},
    }


def serving(secrets: FakeSecrets, clock: Clock | None = None) -> ServingCertificate:
    clock = clock or Clock()
    return ServingCertificate(secrets, "system", "tls", HOSTS, now=clock, sleep=clock.sleep)


async def served_serial(certificate: ServingCertificate, trusted: str) -> int:
    """The serial number of the certificate that a TLS client gets which trusts `trusted` only."""
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=certificate.context)
    context = ssl.create_default_context(cadata=trusted)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
    return x509.load_der_x509_certificate(der).serial_number


async def test_the_chart_s_empty_secret_is_filled_and_its_metadata_kept() -> None:
    secrets = FakeSecrets(empty())
    certificate = serving(secrets)
    assert certificate.ca_certificate == ""
    await certificate.load()
    assert secrets.verbs() == ["get", "update"]
    assert secrets.secret is not None
    assert secrets.secret["metadata"]["labels"] == {"app": "x"}
    assert sorted(secrets.secret["data"]) == ["ca.crt", "ca.key", "tls.crt", "tls.key"]
    assert certificate.ca_certificate.encode() == secrets.data("ca.crt")


async def test_outside_a_chart_the_secret_is_made() -> None:
    secrets = FakeSecrets()
    await serving(secrets).load()
    assert secrets.calls == [
        "get /api/v1/namespaces/system/secrets/tls",
        "create /api/v1/namespaces/system/secrets",
    ]


async def test_a_pod_that_trusts_the_ca_can_connect() -> None:
    certificate = serving(FakeSecrets(), Clock())
    certificate._now = lambda: datetime.now(UTC)
    await certificate.load()
    assert await served_serial(certificate, certificate.ca_certificate) > 0
    stranger = serving(FakeSecrets())
    await stranger.load()
    with pytest.raises(ssl.SSLCertVerificationError):
        await served_serial(certificate, stranger.ca_certificate)


async def test_a_restarted_process_reads_what_is_there_and_writes_nothing() -> None:
    secrets = FakeSecrets(empty())
    first, second = serving(secrets), serving(secrets)
    await first.load()
    await second.load()
    assert secrets.verbs() == ["get", "update", "get"]
    assert second.ca_certificate == first.ca_certificate


async def test_what_another_process_wrote_first_is_used() -> None:
    secrets, other = FakeSecrets(empty()), FakeSecrets(empty())
    await serving(other).load()

    def meddle() -> None:
        assert other.secret is not None
        secrets.secret = other.secret | {"metadata": {**other.secret["metadata"], "resourceVersion": "9"}}

    secrets.before_write.append(meddle)
    certificate = serving(secrets)
    await certificate.load()
    assert secrets.verbs() == ["get", "update", "get"]
    assert certificate.ca_certificate.encode() == other.data("ca.crt")


async def test_so_is_one_that_was_made_meanwhile() -> None:
    secrets, other = FakeSecrets(), FakeSecrets()
    await serving(other).load()
    secrets.before_write.append(lambda: setattr(secrets, "secret", other.secret))
    certificate = serving(secrets)
    await certificate.load()
    assert secrets.verbs() == ["get", "create", "get"]
    assert certificate.ca_certificate.encode() == other.data("ca.crt")


async def test_a_secret_that_never_stands_still_is_given_up() -> None:
    secrets = FakeSecrets(empty())

    def meddle() -> None:
        assert secrets.secret is not None
        secrets.secret["metadata"]["resourceVersion"] += "1"

    secrets.before_write.extend([meddle] * 5)
    with pytest.raises(Conflict):
        await serving(secrets).load()
    assert secrets.verbs().count("update") == 5


@pytest.mark.parametrize("key", ["tls.crt", "tls.key"])
@pytest.mark.parametrize("value", ["", "!no base64!", base64.b64encode(b"no pem").decode()])
async def test_a_broken_serving_certificate_is_replaced_under_the_same_ca(key: str, value: str) -> None:
    secrets = FakeSecrets(empty())
    await serving(secrets).load()
    before = secrets.data("ca.crt")
    assert secrets.secret is not None
    secrets.secret["data"][key] = value
    await serving(secrets).load()
    assert secrets.data("ca.crt") == before
    assert b"BEGIN" in secrets.data(key)


async def test_a_lost_ca_key_means_a_new_ca() -> None:
    secrets = FakeSecrets(empty())
    await serving(secrets).load()
    before = secrets.data("ca.crt")
    assert secrets.secret is not None
    del secrets.secret["data"]["ca.key"]
    await serving(secrets).load()
    assert secrets.data("ca.crt") != before


async def test_new_hosts_mean_a_new_certificate_under_the_same_ca() -> None:
    secrets, clock = FakeSecrets(empty()), Clock()
    await serving(secrets).load()
    ca, leaf = secrets.data("ca.crt"), secrets.data("tls.crt")
    await ServingCertificate(secrets, "system", "tls", ["new.svc"], now=clock, sleep=clock.sleep).load()
    assert secrets.data("ca.crt") == ca
    assert secrets.data("tls.crt") != leaf


async def test_it_is_renewed_when_a_third_is_left_and_the_live_context_serves_the_new_one() -> None:
    secrets, clock = FakeSecrets(empty()), Clock()
    clock.now = datetime.now(UTC)
    began = clock.now
    certificate = serving(secrets, clock)
    await certificate.load()
    ca, old = certificate.ca_certificate, await served_serial(certificate, certificate.ca_certificate)
    task = asyncio.create_task(certificate.renew_forever())
    while clock.now < began + timedelta(days=59):
        await asyncio.sleep(0)
    assert secrets.verbs() == ["get", "update"], "nothing is asked for before it is due"
    while clock.now < began + timedelta(days=61):
        await asyncio.sleep(0)
    task.cancel()
    assert secrets.verbs() == ["get", "update", "get", "update"]
    assert certificate.ca_certificate == ca
    new = x509.load_pem_x509_certificate(secrets.data("tls.crt"))
    assert new.not_valid_before_utc > began + timedelta(days=58), "made at the clock of that day"
    # a client of today would not accept it yet, so it looks without checking
    assert await _unchecked_serial(certificate) == new.serial_number != old


async def _unchecked_serial(certificate: ServingCertificate) -> int:
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=certificate.context)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
    return x509.load_der_x509_certificate(der).serial_number


async def test_a_renewal_that_fails_is_tried_again_every_minute() -> None:
    secrets, clock = FakeSecrets(empty()), Clock()
    certificate = serving(secrets, clock)
    await certificate.load()
    secrets.down = True
    clock.now += timedelta(days=61)
    task = asyncio.create_task(certificate.renew_forever())
    while secrets.verbs().count("get") < 5:
        await asyncio.sleep(0)
    secrets.down = False
    while secrets.verbs().count("update") < 2:
        await asyncio.sleep(0)
    task.cancel()
    assert clock.slept[:5] == [3600.0, 60.0, 60.0, 60.0, 60.0]


async def test_no_key_is_logged() -> None:
    with structlog.testing.capture_logs() as logs:
        await serving(FakeSecrets()).load()
    assert [entry["event"] for entry in logs] == ["certificate made"]
    assert "PRIVATE" not in str(logs)
