import json
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from batch_worker.report import State
from batch_worker.reporter import Endpoint, Pace, Reporter


class Clock:
    """Time that moves only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Operator:
    """Keeps the bodies; answers what it is told to."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, object]] = []
        self.answer: int | Exception = 204
        self.heard = threading.Event()

    def __call__(self, body: bytes) -> int:
        self.bodies.append(json.loads(body))
        self.heard.set()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def make(tmp_path: Path, state: State, operator: Callable[[bytes], int] | None, clock: Clock) -> Reporter:
    (tmp_path / "log").touch()
    return Reporter(state, operator, tmp_path / "log", clock=clock)


def test_progress_is_told_every_five_seconds_an_end_at_once_and_silence_every_twenty(tmp_path: Path) -> None:
    state, operator, clock = State([0, 1]), Operator(), Clock()
    reporter = make(tmp_path, state, operator, clock)
    assert reporter.due_in() <= 0
    reporter.report()
    assert reporter.due_in() == 20
    state.start(0)
    assert reporter.due_in() == 5
    clock.now += 5
    assert reporter.due_in() <= 0
    reporter.report()
    state.complete(0, 1, 0)
    assert reporter.due_in() == 0.5
    clock.now += 0.5
    reporter.report()
    assert [body["completed"] for body in operator.bodies] == ["", "", "0"]
    assert reporter.due_in() == 20


@pytest.mark.parametrize(
    "trouble", [401, 403, 413, 429, 500, 503, OSError("refused"), ValueError("odd"), RuntimeError("bug")]
)
def test_whatever_goes_wrong_is_tried_again_with_growing_distance(tmp_path: Path, trouble: int | Exception) -> None:
    state, operator, clock = State([0]), Operator(), Clock()
    operator.answer = trouble
    reporter = make(tmp_path, state, operator, clock)
    waits = []
    for _ in range(8):
        reporter.report()
        waits.append(reporter.due_in())
    assert waits == [1, 2, 4, 8, 16, 20, 20, 20]
    operator.answer = 204
    reporter.report()
    assert reporter.due_in() == 20


def test_the_termination_message_is_current_after_close_and_needs_no_operator(tmp_path: Path) -> None:
    state = State([0, 1])
    (tmp_path / "log").write_text("x" * 4000)
    reporter = Reporter(state, None, tmp_path / "log")
    reporter.start()
    state.complete(0, 5, 0)
    reporter.nudge()
    state.fail(1, "why")
    reporter.close()
    assert json.loads((tmp_path / "log").read_text()) == state.body()


def test_an_end_wakes_the_thread(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    state, operator = State([0]), Operator()
    reporter = Reporter(state, operator, tmp_path / "log", Pace(ended=0.0))
    reporter.start()
    assert operator.heard.wait(5)
    operator.heard.clear()
    state.complete(0, 1, 0)
    reporter.nudge()
    assert operator.heard.wait(5)
    reporter.close()
    assert operator.bodies[-1]["completed"] == "0"


def test_closing_does_not_wait_for_an_operator_that_hangs(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    release = threading.Event()
    started = threading.Event()

    def hang(body: bytes) -> int:
        started.set()
        release.wait(30)
        return 204

    state = State([0])
    reporter = Reporter(state, hang, tmp_path / "log", Pace(close=0.05))
    reporter.start()
    assert started.wait(5)
    state.complete(0, 1, 0)
    reporter.close()
    assert json.loads((tmp_path / "log").read_text())["completed"] == "0"
    release.set()


def test_a_missing_termination_log_is_not_made(tmp_path: Path) -> None:
    reporter = Reporter(State([0]), None, tmp_path / "nothing")
    reporter.start()
    reporter.close()
    assert not (tmp_path / "nothing").exists()


def certificate(tmp_path: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """An HTTPS server on loopback: its URL, the CA file, the bearer tokens that it saw."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(self.headers["Authorization"])
            self.send_response(204 if self.headers["Authorization"] == "Bearer second" else 401)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    crt, key = certificate(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    http = HTTPServer(("127.0.0.1", 0), Handler)
    http.socket = context.wrap_socket(http.socket, server_side=True)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://127.0.0.1:{http.server_port}/v1/progress", crt, seen
    http.shutdown()
    thread.join()
    http.server_close()


def test_the_token_is_read_again_for_every_report(tmp_path: Path, server: tuple[str, Path, list[str]]) -> None:
    url, ca, seen = server
    token = tmp_path / "token"
    endpoint = Endpoint(url, token, ca)
    token.write_text("first\n")
    assert endpoint(b"{}") == 401
    token.write_text("second\n")
    assert endpoint(b"{}") == 204
    assert seen == ["Bearer first", "Bearer second"]


def test_a_server_of_another_ca_gets_no_token(tmp_path: Path, server: tuple[str, Path, list[str]]) -> None:
    url, _, seen = server
    other, _ = certificate(tmp_path, "other")
    (tmp_path / "token").write_text("second")
    with pytest.raises(ssl.SSLCertVerificationError):
        Endpoint(url, tmp_path / "token", other)(b"{}")
    assert seen == []


@pytest.mark.parametrize("url", ["", "progress", "ftp://x/y"])
def test_a_url_that_is_none_is_an_error_to_report(url: str) -> None:
    with pytest.raises(ValueError):
        Endpoint(url, None, None)(b"{}")
