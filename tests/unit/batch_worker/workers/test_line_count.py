from pathlib import Path
from typing import Any

import pytest

from batch_worker.workers import line_count
from batch_worker.workers.line_count import LineCount
from tests.unit.batch_worker.builders import JobBuilder


def job(tmp_path: Path, config: dict[str, Any] | None = None, **files: bytes) -> JobBuilder:
    made = JobBuilder(tmp_path, config=config or {}, inputs=list(files))
    for name, content in files.items():
        (made.files / name).write_bytes(content)
    return made


@pytest.mark.parametrize(
    ("content", "lines"),
    [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\nb", 2), (b"\n\n", 2), (b"x\n" * 2_000_000, 2_000_000)],
)
def test_lines_are_counted(tmp_path: Path, content: bytes, lines: int) -> None:
    made = job(tmp_path, a=content)
    assert made.run(LineCount) == 0
    assert made.last_report()["items"] == {"done": lines, "total": lines, "failed": 0}


def test_a_part_holds_a_fixed_number_of_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_count, "_LINES_A_PART", 2)
    made = job(tmp_path, a=b"1\n2\n3\n4\n5")
    assert made.run(LineCount) == 0
    parts = [content for name, content in made.committed().items() if name.endswith(".csv")]
    assert parts == [b"first_line,lines\n0,2\n", b"first_line,lines\n2,2\n", b"first_line,lines\n4,1\n"]


def test_it_fails_when_told_and_where_told(tmp_path: Path) -> None:
    made = job(tmp_path, {"fail_with_exit_code": 42, "fail_after_inputs": 1}, a=b"1", b=b"2")
    assert made.run(LineCount) == 42
    assert made.last_report()["completed"] == "0"


def test_it_fails_only_in_the_first_attempts(tmp_path: Path) -> None:
    made = job(tmp_path, {"fail_with_exit_code": 7, "fail_until_attempt": 1}, a=b"1")
    assert made.run(LineCount, BATCH_ATTEMPT="0") == 7
    assert made.run(LineCount, BATCH_ATTEMPT="1") == 0


@pytest.mark.parametrize(
    "config", [{"unknown": 1}, {"seconds_per_input": "1"}, {"fail_after_inputs": 1.5}, {"fail_with_exit_code": True}]
)
def test_a_bad_setting_is_named(tmp_path: Path, config: dict[str, Any]) -> None:
    made = job(tmp_path, config, a=b"1")
    assert made.run(LineCount) == 64
    assert f"spec.parameters.worker.config.{next(iter(config))}" in made.last_report()["error"]["message"]
