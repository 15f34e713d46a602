import csv
from pathlib import Path

import pytest

from tests.demo import sensor_files


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.csv"))}


def test_a_seed_gives_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        sensor_files.write(tmp_path / name, seed)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a").keys() == content(tmp_path / "c").keys()
    assert content(tmp_path / "a")["inference/run_0.csv"] != content(tmp_path / "c")["inference/run_0.csv"]


def test_every_inference_file_has_a_label_of_a_labelled_class(tmp_path: Path) -> None:
    labels = sensor_files.write(tmp_path, seed=7)
    with (tmp_path / "labels.csv").open() as file:
        assert {row["file_id"]: row["class"] for row in csv.DictReader(file)} == labels
    assert {path.name for path in (tmp_path / "inference").iterdir()} == labels.keys()
    assert {path.name for path in (tmp_path / "n_shots").iterdir()} == set(labels.values())


@pytest.mark.parametrize("number", range(8))
def test_an_inference_file_holds_about_a_hundred_rows_of_numbers(tmp_path: Path, number: int) -> None:
    sensor_files.write(tmp_path, seed=7)
    with (tmp_path / "inference" / f"run_{number}.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert 90 <= len(lines) <= 110
    assert tuple(lines[0]) == sensor_files.COLUMNS
    stamps = [int(line["timestamp"]) for line in lines]
    assert stamps == list(range(stamps[0], stamps[0] + len(lines)))
    assert all(float(line[name]) for line in lines for name in sensor_files.COLUMNS[1:])


def test_the_command_writes_where_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sensor_files.main([str(tmp_path / "out"), "--seed", "3", "--files", "2"])
    assert len(list((tmp_path / "out" / "inference").iterdir())) == 2
    assert "2 files to classify" in capsys.readouterr().out
