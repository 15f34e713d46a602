"""The s3:// and gs:// sides of storage, against a small server of our own that speaks as much S3 as we use."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from batch_worker.runner import Worker
from batch_worker.storage import Store, open_store
from batch_worker.workers.machine_state.worker import MachineStateClassification
from tests.unit.batch_worker.builders import run_with, two_state_job

MADE = "Tue, 01 Jul 2025 00:00:00 GMT"


class S3(ThreadingHTTPServer):
    """One bucket in memory. `conditional` False: a server that answers 501 to If-None-Match, as some do."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.conditional = True


class Handler(BaseHTTPRequestHandler):
    server: S3
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        key = self.key()
        if self.headers.get("If-None-Match") == "*":
            if not self.server.conditional:
                return self.answer(501, error("NotImplemented"))
            if key in self.server.objects:
                return self.answer(412, error("PreconditionFailed"))
        self.server.objects[key] = content
        return self.answer(200, etag=content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            prefix = query.get("prefix", [""])[0]
            found = "".join(
                f"<Contents><Key>{escape(key)}</Key><LastModified>2025-07-01T00:00:00.000Z</LastModified>"
                f'<ETag>"{len(content)}"</ETag><Size>{len(content)}</Size></Contents>'
                for key, content in sorted(self.server.objects.items())
                if key.startswith(prefix)
            )
            return self.answer(
                200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode()
            )
        if self.key() not in self.server.objects:
            return self.answer(404, error("NoSuchKey"))
        content = self.server.objects[self.key()]
        if span := re.match(r"bytes=(\d+)-(\d+)$", self.headers.get("Range", "")):
            first, last = int(span[1]), min(int(span[2]), len(content) - 1)
            place = f"bytes {first}-{last}/{len(content)}"
            return self.answer(206, content[first : last + 1], etag=content, place=place)
        return self.answer(200, content, etag=content)

    def key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/bucket/")

    def answer(self, status: int, body: bytes = b"", etag: bytes = b"", place: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", MADE)
        self.send_header("ETag", f'"{hash(etag):x}"')
        if place:
            self.send_header("Content-Range", place)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


def error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    with S3() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        yield server
        server.shutdown()
        thread.join()


def test_objects_of_a_bucket_are_read_written_and_listed(s3: S3) -> None:
    store = open_store("s3://bucket/base")
    assert store.get("a b.csv") is None
    assert store.version("a b.csv") is None
    store.put("a b.csv", b"one")
    assert s3.objects == {"base/a b.csv": b"one"}
    assert store.get("a b.csv") == b"one"
    assert store.names("") == ["a b.csv"]
    first = store.version("a b.csv")
    store.put("a b.csv", b"two")
    assert store.version("a b.csv") != first


def test_a_large_object_is_streamed(s3: S3) -> None:
    s3.objects["base/big"] = bytes(range(256)) * 20_000
    with open_store("s3://bucket/base").reader("big") as reader:
        assert reader.read() == s3.objects["base/big"]
    with pytest.raises(FileNotFoundError):
        open_store("s3://bucket/base").reader("nothing")


@pytest.mark.parametrize("conditional", [True, False], ids=["with-conditional-puts", "without"])
def test_the_first_record_stands(s3: S3, conditional: bool) -> None:
    s3.conditional = conditional
    store = open_store("s3://bucket")
    assert store.put_if_absent("commit.json", b"one")
    assert not store.put_if_absent("commit.json", b"two")
    assert store.get("commit.json") == b"one"


def test_a_whole_job_on_a_bucket_gives_the_bytes_that_it_gives_on_files(s3: S3, tmp_path: Path) -> None:
    job = two_state_job(tmp_path)
    assert job.run(MachineStateClassification) == 0
    for path in job.files.iterdir():
        s3.objects[f"files/{path.name}"] = path.read_bytes()
    job.inputs_url = "s3://bucket/files"
    worker: Worker = MachineStateClassification()
    code, state = run_with(worker, job.environment(BATCH_OUTPUT_URL="s3://bucket/out/default/job"))
    assert code == 0
    assert state.body()["completed"] == "0-2"
    assert {
        name.removeprefix("out/default/job/worker.results/"): content
        for name, content in s3.objects.items()
        if name.startswith("out/") and "/parts/" not in name
    } == job.committed()


def test_a_gs_url_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    assert isinstance(open_store("gs://bucket/base"), Store)
