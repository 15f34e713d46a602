"""`ServingCertificate`: the progress endpoint's TLS, kept in the operator's own Secret and renewed while the
process lives.

Made by main before the endpoint starts. The chart ships the Secret without any data; the operator fills it in
(get and update, by resourceNames). Outside a chart it creates the Secret. What another process wrote first is
used, never overwritten.
"""

import asyncio
import base64
import binascii
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from batch_operator.cluster import certificates
from batch_operator.cluster.certificates import KeyPair
from batch_operator.cluster.client import Object
from batch_operator.cluster.errors import AlreadyExists, ApiError, Conflict, NotFound
from batch_operator.cluster.resource_paths import SECRETS

_CA_CERT, _CA_KEY, _CERT, _KEY = "ca.crt", "ca.key", "tls.crt", "tls.key"
_ATTEMPTS = 5
_LOOK_SECONDS = 3600.0  # the wall clock is looked at so often: it may jump, and the process may have been frozen
_RETRY_SECONDS = 60.0

log = structlog.get_logger(__name__)


class SecretClient(Protocol):
    """The part of the `Client` that is needed here."""

    async def get(self, path: str) -> Object: ...
    async def create(self, path: str, obj: Mapping[str, Any]) -> Object: ...
    async def update(self, path: str, obj: Mapping[str, Any]) -> Object: ...


@dataclass(frozen=True, slots=True)
class _Material:
    authority: KeyPair
    serving: KeyPair


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ServingCertificate:
    """`context` serves the newest certificate, also to connections made after a renewal; `ca_certificate` is
    for the pods.
    """

    def __init__(
        self,
        client: SecretClient,
        namespace: str,
        name: str,
        hosts: Sequence[str],
        *,
        now: Callable[[], datetime] = _utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`hosts`: the host names and IP addresses by which pods reach the endpoint."""
        self._client = client
        self._namespace = namespace
        self._name = name
        self._hosts = tuple(hosts)
        self._now = now
        self._sleep = sleep
        self._material: _Material | None = None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2

    @property
    def ca_certificate(self) -> str:
        """PEM of the CA that pods are to trust. Empty before `load`."""
        return self._material.authority.certificate.decode() if self._material else ""

    async def load(self) -> None:
        """Reads the Secret, completes or renews what it lacks, and makes `context` ready. Raises ApiError."""
        for attempt in range(_ATTEMPTS):
            try:
                material = await self._agree()
            except (Conflict, AlreadyExists):  # somebody else wrote: theirs is read and used
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            if material != self._material:
                _load_into(self.context, material.serving)
                self._material = material
            return

    async def renew_forever(self) -> None:
        """Renews when a third of the certificate's life is left; asks the API server for nothing before that."""
        while True:
            await self._sleep(_LOOK_SECONDS)
            while self._material is None or self._now() >= certificates.renewal_time(self._material.serving):
                try:
                    await self.load()
                except ApiError as error:
                    log.warning("certificate not renewed, trying again", words=str(error), retry_seconds=_RETRY_SECONDS)
                    await self._sleep(_RETRY_SECONDS)

    async def _agree(self) -> _Material:
        """One round of read, decide and write. Raises Conflict or AlreadyExists where somebody else wrote
        meanwhile.
        """
        path = SECRETS.path(self._namespace, self._name)
        try:
            secret = await self._client.get(path)
        except NotFound:
            secret = None
        found = _decoded(secret)
        material, why = self._completed(found)
        if why is None:
            return material
        data = {
            _CA_CERT: material.authority.certificate,
            _CA_KEY: material.authority.private_key,
            _CERT: material.serving.certificate,
            _KEY: material.serving.private_key,
        }
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        if secret is None:
            meta = {"name": self._name, "namespace": self._namespace}
            body = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": meta, "data": encoded}
            await self._client.create(SECRETS.path(self._namespace), body)
        else:
            # metadata goes back as it came: its resourceVersion makes this write fail if it is not the newest
            await self._client.update(path, {**secret, "data": {**(secret.get("data") or {}), **encoded}})
        log.info("certificate made", secret=f"{self._namespace}/{self._name}", hosts=self._hosts, why=why)
        return material

    def _completed(self, found: _Material) -> tuple[_Material, str | None]:
        """`found` with what it lacks made anew, and why; None if nothing was lacking."""
        now = self._now()
        why = certificates.authority_trouble(found.authority, now)
        if why is not None:
            authority = certificates.new_authority(now)
            return _Material(authority, certificates.new_serving_certificate(authority, self._hosts, now)), why
        why = certificates.serving_trouble(found.serving, found.authority, self._hosts, now)
        if why is not None:
            serving = certificates.new_serving_certificate(found.authority, self._hosts, now)
            return _Material(found.authority, serving), why
        return found, None


def _decoded(secret: Mapping[str, Any] | None) -> _Material:
    """What the Secret holds; empty bytes for what it lacks or what is no base64."""
    data = (secret or {}).get("data") or {}

    def value(key: str) -> bytes:
        try:
            return base64.b64decode(data.get(key) or "")
        except (binascii.Error, TypeError, ValueError):
            return b""

    return _Material(KeyPair(value(_CA_CERT), value(_CA_KEY)), KeyPair(value(_CERT), value(_KEY)))


def _load_into(context: ssl.SSLContext, pair: KeyPair) -> None:
    """ssl takes keys from files only: a private one (mode 0600), which is gone when this returns."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(pair.private_key + pair.certificate)
        file.flush()
        context.load_cert_chain(file.name)
