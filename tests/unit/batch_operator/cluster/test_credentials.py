import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, incluster_config, kube_config

from batch_operator.cluster.client import Client
from batch_operator.cluster.credentials import Credentials, CredentialsError
from batch_operator.cluster.errors import Unauthorized


def kubeconfig(path: Path, user: dict[str, Any], server: str = "https://from-file:6443") -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files and variables of a pod; returns the token's file."""
    token, ca = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("from-pod")
    ca.write_text("certificate")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(ca))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return token


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


async def test_a_kubeconfig_s_token_is_used(tmp_path: Path) -> None:
    credentials = await Credentials.load(kubeconfig(tmp_path / "config", {"token": "abc"}))
    assert credentials.configuration.host == "https://from-file:6443"
    assert await credentials.authorization() == "Bearer abc"


async def test_in_a_pod_its_service_account_is_used(pod: Path) -> None:
    credentials = await Credentials.load()
    assert credentials.configuration.host == "https://10.0.0.1:443"
    assert str(await credentials.authorization()).lower() == "bearer from-pod"


@pytest.mark.parametrize("road", ["argument", "variable"])
async def test_a_kubeconfig_that_was_named_wins_over_the_pod(
    tmp_path: Path, pod: Path, monkeypatch: pytest.MonkeyPatch, road: str
) -> None:
    path = kubeconfig(tmp_path / "config", {"token": "abc"})
    if road == "variable":
        monkeypatch.setenv("KUBECONFIG", path)
    credentials = await Credentials.load(path if road == "argument" else None)
    assert credentials.configuration.host == "https://from-file:6443"


async def test_without_any_configuration_it_says_what_it_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(CredentialsError, match=r"no access to a cluster by .*/\.kube/config.*set KUBECONFIG"):
        await Credentials.load()


async def test_a_token_that_cannot_be_read_is_a_refusal_not_a_crash() -> None:
    def unreadable(_: Any) -> None:
        raise ConfigException("Token file exists but empty.")

    configuration = Configuration(host="http://127.0.0.1:1")
    configuration.api_key["BearerToken"] = "bearer old"
    configuration.refresh_api_key_hook = unreadable
    async with Client(Credentials(configuration)) as client:
        with pytest.raises(Unauthorized, match="token cannot be read: Token file exists but empty"):
            await client.get("/version")


async def test_an_exec_plugin_s_token_is_renewed_when_it_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import json, pathlib\n"
        f"count = pathlib.Path({str(tmp_path / 'count')!r})\n"
        "n = len(count.read_text()) if count.exists() else 0\n"
        "count.write_text('x' * (n + 1))\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
        " 'status': {'token': f't{n}', 'expirationTimestamp': '2020-01-01T00:00:00Z'}}))\n"
    )
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(plugin)],
        }
    }
    naps: list[float] = []

    class Asleep(Exception):
        """Ends the official refresh loop after its first round."""

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            raise Asleep

    credentials = await Credentials.load(kubeconfig(tmp_path / "config", user))
    assert await credentials.authorization() == "Bearer t0"
    monkeypatch.setattr(kube_config.asyncio, "sleep", nap)
    with pytest.raises(Asleep):
        await credentials.refresh()
    assert await credentials.authorization() == "Bearer t1"
    assert naps == [30.0, 30.0]


async def test_there_is_nothing_to_renew_for_a_plain_token(tmp_path: Path) -> None:
    credentials = await Credentials.load(kubeconfig(tmp_path / "config", {"token": "abc"}))
    await credentials.refresh()
    await credentials.close()


@pytest.mark.parametrize(
    ("no_proxy", "expected"),
    [("", "http://proxy:3128"), ("example.org", "http://proxy:3128"), ("from-file", None), ("*", None)],
)
async def test_the_environment_s_proxy_is_used_for_a_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxy: str, expected: str | None
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    credentials = await Credentials.load(kubeconfig(tmp_path / "config", {"token": "abc"}))
    assert credentials.configuration.proxy == expected


async def test_in_a_pod_the_api_server_is_reached_without_a_proxy(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    credentials = await Credentials.load()
    assert credentials.configuration.proxy is None
    assert credentials.configuration.client_session_kwargs == {"trust_env": False}


@pytest.mark.parametrize("text", ["{", "[]", "contexts: []", "current-context: x"])
async def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(CredentialsError, match=f"no access to a cluster by {tmp_path}/config: "):
        await Credentials.load(str(tmp_path / "config"))
