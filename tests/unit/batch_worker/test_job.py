import gzip
import hashlib
import json
from pathlib import Path

import pytest

from batch_worker.errors import InvalidConfig
from batch_worker.job import Environment, load
from tests.unit.batch_worker.builders import JobBuilder


def job(tmp_path: Path) -> JobBuilder:
    return JobBuilder(tmp_path, config={"k": 1}, inputs=["a.csv", "b.csv", "c.csv"], references=[("r.csv", "calm")])


def test_a_pod_sees_only_its_own_block_under_the_jobs_numbers(tmp_path: Path) -> None:
    loaded = load(Environment.read(job(tmp_path).environment("1-2")))
    assert [(each.number, each.file_id) for each in loaded.inputs] == [(1, "b.csv"), (2, "c.csv")]
    assert loaded.config == {"k": 1}
    assert loaded.output_port == "worker.results"
    assert loaded.references["worker.n_shots"][0].metadata == {"class": "calm"}


def test_a_job_file_of_other_bytes_is_tampered(tmp_path: Path) -> None:
    env = job(tmp_path).environment()
    body = job(tmp_path).body() | {"name": "other"}
    (tmp_path / "job.json.gz").write_bytes(gzip.compress(json.dumps(body).encode()))
    with pytest.raises(InvalidConfig) as caught:
        load(Environment.read(env))
    assert caught.value.code == "TAMPERED"


def test_a_job_file_that_is_no_gzip_is_tampered(tmp_path: Path) -> None:
    env = job(tmp_path).environment()
    (tmp_path / "job.json.gz").write_bytes(b"hello")
    with pytest.raises(InvalidConfig) as caught:
        load(Environment.read(env))
    assert caught.value.code == "TAMPERED"


def test_a_job_file_of_another_shape_says_which_part_is_missing(tmp_path: Path) -> None:
    env = job(tmp_path).environment()
    content = b'{"id": "x"}'
    (tmp_path / "job.json.gz").write_bytes(gzip.compress(content))
    env["BATCH_JOB_SHA256"] = hashlib.sha256(content).hexdigest()
    with pytest.raises(InvalidConfig, match="KeyError: 'inputs'"):
        load(Environment.read(env))


def test_an_input_number_beyond_the_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="input 7"):
        load(Environment.read(job(tmp_path).environment("7")))


@pytest.mark.parametrize(
    ("name", "value"),
    [("BATCH_INPUTS", "3-1"), ("BATCH_INDEX", "one"), ("BATCH_JOB_FILE", None), ("BATCH_OUTPUT_URL", None)],
)
def test_a_bad_variable_is_named(tmp_path: Path, name: str, value: str | None) -> None:
    env = job(tmp_path).environment()
    if value is None:
        del env[name]
    else:
        env[name] = value
    with pytest.raises(InvalidConfig, match=name):
        Environment.read(env)


def test_without_a_progress_url_there_is_none(tmp_path: Path) -> None:
    read = Environment.read(job(tmp_path).environment())
    assert (read.progress_url, read.token_file, read.ca_file) == ("", None, None)
