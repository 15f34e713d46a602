"""Which tokens cluster.token_review accepts, by the word of the real API server."""

import asyncio
import uuid
from typing import Any

import pytest

from batch_operator.api import names
from batch_operator.cluster.client import Client, Object
from batch_operator.cluster.resource_paths import PODS, Resource
from batch_operator.cluster.token_review import PodIdentity, TokenRefused, TokenReviewer

pytestmark = pytest.mark.contract

SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts")


@pytest.fixture
async def pod(client: Client, namespace: str) -> Object:
    """A pod object that no node will ever run: a token can be bound to it all the same."""
    security = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return await client.create(
        PODS.path(namespace),
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"p-{uuid.uuid4().hex[:8]}"},
            "spec": {
                "nodeSelector": {"example.org/no-such-node": "true"},
                "automountServiceAccountToken": False,
                "containers": [{"name": "c", "image": "example.org/x:1", "securityContext": security}],
            },
        },
    )


async def token(client: Client, namespace: str, audience: str, pod: Object | None) -> str:
    """A token as the kubelet asks for it when it projects one into a pod."""
    bound: dict[str, Any] = {}
    if pod is not None:
        reference = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"]}
        bound = {"boundObjectRef": reference | {"uid": pod["metadata"]["uid"]}}
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [audience], "expirationSeconds": 600, **bound},
    }
    path = SERVICE_ACCOUNTS.path(namespace, "default", "token")
    for _ in range(100):  # the controller makes a new namespace's account in its own time
        try:
            return str((await client.create(path, request))["status"]["token"])
        except Exception as error:
            if getattr(error, "status", 0) != 404:
                raise
            await asyncio.sleep(0.1)
    raise AssertionError(f"namespace {namespace} never got its default ServiceAccount")


async def test_a_pod_s_token_names_its_pod(client: Client, namespace: str, pod: Object) -> None:
    identity = await TokenReviewer(client).review(await token(client, namespace, names.TOKEN_AUDIENCE, pod))
    meta = pod["metadata"]
    assert identity == PodIdentity(namespace, "default", meta["name"], meta["uid"])


async def test_a_token_for_the_api_server_itself_is_refused(client: Client, namespace: str, pod: Object) -> None:
    other = await token(client, namespace, "https://kubernetes.default.svc", pod)
    with pytest.raises(TokenRefused):
        await TokenReviewer(client).review(other)


async def test_a_token_of_no_pod_is_refused(client: Client, namespace: str) -> None:
    unbound = await token(client, namespace, names.TOKEN_AUDIENCE, None)
    with pytest.raises(TokenRefused, match="not bound to a pod"):
        await TokenReviewer(client).review(unbound)


async def test_a_token_whose_signature_was_changed_is_refused(client: Client, namespace: str, pod: Object) -> None:
    head, claims, signature = (await token(client, namespace, names.TOKEN_AUDIENCE, pod)).split(".")
    with pytest.raises(TokenRefused, match="does not accept"):
        await TokenReviewer(client).review(f"{head}.{claims}.{signature[:-4]}AAAA")


async def test_a_deleted_pod_s_token_is_refused_in_the_end(client: Client, namespace: str, pod: Object) -> None:
    bound = await token(client, namespace, names.TOKEN_AUDIENCE, pod)
    await TokenReviewer(client).review(bound)
    meta = pod["metadata"]
    await client.delete(PODS.path(namespace, meta["name"]), uid=meta["uid"], grace_seconds=0)

    async def refused() -> None:
        while True:
            try:
                await TokenReviewer(client).review(bound)
            except TokenRefused:
                return
            await asyncio.sleep(0.5)

    await asyncio.wait_for(refused(), 50)
