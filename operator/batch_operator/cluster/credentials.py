"""Where the API server is and who we are, for `client`: the official client's own configuration loading, in
the usual order.

That order is controller-runtime's: a path given to us, then $KUBECONFIG, then the pod's ServiceAccount, then
~/.kube/config.
"""

import asyncio
import contextlib
import os
import ssl
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config, refresh_token

_EXEC_REFRESH_SECONDS = 30.0

log = structlog.get_logger(__name__)


class CredentialsError(Exception):
    """No usable configuration; says what was looked at and what to do."""


class Credentials:
    """A loaded configuration, and for an exec plugin the task that renews its token. `configuration` is the
    official client's.
    """

    def __init__(self, configuration: Any, loader: Any = None) -> None:
        self.configuration = configuration
        self._loader = loader
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def load(
        cls,
        kubeconfig: str | None = None,
        context: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> "Credentials":
        """Reads the files and runs the exec plugin, if any. The pod's token is read again every minute by the
        official client.
        """
        path = kubeconfig or environ.get("KUBECONFIG")
        in_cluster = not path and bool(environ.get("KUBERNETES_SERVICE_HOST"))
        configuration = Configuration()
        configuration.retries = None  # a hidden retry would break the rule that the caller sees every answer
        loader = None
        source = "the pod's ServiceAccount" if in_cluster else path or str(Path.home() / ".kube" / "config")
        try:
            if in_cluster:
                load_incluster_config(client_configuration=configuration)
            else:
                loader = await load_kube_config(
                    config_file=source,
                    context=context,
                    client_configuration=configuration,
                    persist_config=False,
                )
        except Exception as error:  # the official loader also lets TypeError, KeyError and YAML errors out
            raise CredentialsError(
                f"no access to a cluster by {source}: {error}; set KUBECONFIG to a valid file"
            ) from error
        if not in_cluster and configuration.proxy is None:
            configuration.proxy = _proxy(configuration.host)
        # else aiohttp reads ~/.netrc and the proxy variables anew for each request, in a thread each: measured, twice
        # the CPU; and a netrc entry for the API server's host would clash with our token
        configuration.client_session_kwargs = {"trust_env": False}
        log.info("api server", server=configuration.host, credentials=source)
        return cls(configuration, loader)

    def start_refresh(self) -> None:
        """Keeps an exec plugin's token fresh; for all other credentials there is nothing to do."""
        if self._loader is not None and self._task is None:
            self._task = asyncio.create_task(self.refresh(), name="refresh exec credentials")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def authorization(self) -> str | None:
        """The Authorization header's value, None where a TLS certificate says who we are.

        Raises CredentialsError where the pod's token file cannot be read.
        """
        try:
            value = await self.configuration.get_api_key_with_prefix("BearerToken")
        except (ConfigException, OSError) as error:
            raise CredentialsError(f"the ServiceAccount's token cannot be read: {error}") from error
        return str(value) if value else None

    @property
    def server(self) -> str:
        """The API server's URL, without a slash at its end."""
        return str(self.configuration.host).rstrip("/")

    def ssl_context(self) -> ssl.SSLContext:
        """As the official client makes it, for the connections that are not its own (kopf's)."""
        configuration = self.configuration
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        if not configuration.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    async def refresh(self) -> None:
        """Renews an exec plugin's token for ever; returns at once for credentials that need no renewal."""
        if self._loader is None:
            return
        await refresh_token(self._loader, self.configuration, _EXEC_REFRESH_SECONDS)


def _proxy(url: str) -> str | None:
    """The proxy that the environment (HTTPS_PROXY, NO_PROXY) names for the API server; in a pod none is ever used."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    return urllib.request.getproxies().get(parts.scheme)
