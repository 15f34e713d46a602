"""The pod webhook of Kueue, played for a real API server: gate, finalizer and label into pods with a queue-name.

It listens on loopback, so that only an API server on this machine can ask it. Written from Kueue's documents; used by
the contract and e2e tests, which play Kueue's controller by hand.
"""

import base64
import json
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from batch_operator.cluster.certificates import new_authority, new_serving_certificate
from tests.cluster.kubectl import Kubectl

QUEUE, MANAGED, GATE = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/managed", "kueue.x-k8s.io/admission"
GROUP = "kueue.x-k8s.io/pod-group-name"


@contextmanager
def gates_pods_of(kubectl: Kubectl, namespace: str) -> Iterator[None]:
    """Meanwhile every new pod of the namespace goes through the webhook."""
    now = datetime.now(UTC)
    authority = new_authority(now)
    serving = new_serving_certificate(authority, ["127.0.0.1"], now)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        pem = Path(directory) / "tls.pem"
        pem.write_bytes(serving.certificate + serving.private_key)
        tls.load_cert_chain(pem)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Webhook) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            kubectl.run("create", "-f", "-", stdin=_configuration(namespace, server.server_port, authority.certificate))
            yield
        finally:
            name = f"kueue-{namespace}"
            kubectl.run("delete", "mutatingwebhookconfiguration", name, "--ignore-not-found")
            server.shutdown()
            thread.join()


class _Webhook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(_answered(review)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def _answered(review: dict[str, Any]) -> dict[str, Any]:
    labels = review["request"]["object"]["metadata"].get("labels") or {}
    answer: dict[str, Any] = {"uid": review["request"]["uid"], "allowed": True}
    if labels.get(QUEUE):
        patch = [
            {"op": "add", "path": "/metadata/labels", "value": labels | {MANAGED: "true"}},
            {"op": "add", "path": "/metadata/finalizers", "value": [MANAGED]},
            {"op": "add", "path": "/spec/schedulingGates", "value": [{"name": GATE}]},
        ]
        answer |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
    return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer}


def _configuration(namespace: str, port: int, authority: bytes) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": f"kueue-{namespace}"},
        "webhooks": [
            {
                "name": "mpod.kb.io",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                "clientConfig": {
                    "url": f"https://127.0.0.1:{port}/mutate--v1-pod",
                    "caBundle": base64.b64encode(authority).decode(),
                },
            }
        ],
    }
