"""The built-in pipeline on the real node, through kubectl only: right results, and clear answers to bad input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.demo import job as demo_job
from tests.demo import results, sensor_files
from tests.e2e.conftest import Team

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TEP = Path(__file__).parents[3] / "shared/data/tep"
MINIMUM_ACCURACY = 0.85
"""Accuracy by window on the TEP files with the API document's three columns (docs/accuracy.md)."""


def body(files: Path, parallelism: int = 1) -> dict[str, Any]:
    """The API document's body over the files that lie in the store."""
    spec = demo_job.body(files)
    spec["parameters"]["worker"]["parallelism"] = parallelism
    return spec


def worker_config(spec: dict[str, Any]) -> Any:
    return spec["parameters"]["worker"]["config"]


@pytest.fixture(scope="module")
def sensors(make_team: Callable[[], Team]) -> Team:
    """A team with the generated sensor files in its store."""
    team = make_team()
    sensor_files.write(team.place.files, seed=11)
    return team


@pytest.fixture(scope="module")
def tep(make_team: Callable[[], Team]) -> Team:
    """A team with the Tennessee Eastman files, laid out as the demo wants them."""
    if not TEP.is_dir():
        pytest.skip("needs the Tennessee Eastman files beside the checkout (shared/data/tep)")
    team = make_team()
    place = team.place
    for state in ("normal", "fault"):
        folder = place.files / "n_shots" / state
        folder.mkdir(parents=True)
        (folder / f"tep_{state}.csv").write_bytes((TEP / f"tep_{state}.csv").read_bytes())
    (place.files / "inference").mkdir()
    for path in TEP.glob("tep_inference_*.csv"):
        (place.files / "inference" / path.name).write_bytes(path.read_bytes())
    (place.files / "labels.csv").write_bytes((TEP / "labels.csv").read_bytes())
    return team


def outputs(team: Team, name: str) -> dict[str, bytes]:
    folder = team.outputs(name)
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def run_with_each_parallelism(team: Team) -> list[str]:
    """All at the same time: each waits for its pods' start most of it."""
    names = {f"parallel-{parallelism}": parallelism for parallelism in (1, 2, 4)}
    for name, parallelism in names.items():
        team.apply(name, body(team.place.files, parallelism))
    for name, parallelism in names.items():
        status = team.finished(name)
        assert status["status"] == "COMPLETED", status.get("error")
        assert status["input_progress"] == {"pending": 0, "processing": 0, "completed": 8, "failed": 0}
        assert len(team.pods(name)) == parallelism
    return list(names)


def test_the_same_bytes_at_any_parallelism(sensors: Team) -> None:
    one, two, four = (outputs(sensors, name) for name in run_with_each_parallelism(sensors))
    assert one == two == four
    assert len([path for path in one if path.endswith("commit.json")]) == 8


def test_tennessee_eastman(tep: Team) -> None:
    names = run_with_each_parallelism(tep)
    one, two, four = (outputs(tep, name) for name in names)
    assert one == two == four
    labels = results.read_labels(tep.place.files / "labels.csv")
    assert labels is not None
    files = [item["file_id"] for item in tep.job(names[0])["spec"]["inputs"]["worker.inference"]]
    right, total = results.score(tep.outputs(names[0]).parent, labels, files)
    assert total == 8 * (100 - 64 + 1)
    assert right / total >= MINIMUM_ACCURACY


def test_an_event_and_every_commit_record_say_which_encoder_ran(sensors: Team) -> None:
    sensors.apply("encoder", body(sensors.place.files))
    sensors.finished("encoder")
    events = sensors.run("get", "events", "--field-selector=involvedObject.name=encoder", "-o", "json")
    (note,) = [e["message"] for e in json.loads(events)["items"] if e["involvedObject"]["kind"] == "BatchJob"]
    assert "omega_1_4_base" in note
    assert "rocket_1" in note
    records = [json.loads(path.read_text()) for path in sensors.outputs("encoder").glob("*/commit.json")]
    assert {record["made_by"]["encoder"] for record in records} == {"rocket_1"}


class TestBadFiles:
    REASONS = {
        "inference/missing.csv": "missing",
        "inference/empty.csv": "empty",
        "inference/no_column.csv": "xmeas_2",
        "inference/text.csv": "xmeas_1",
        "inference/short.csv": "window",
    }

    @pytest.fixture(scope="class")
    @classmethod
    def spec(cls, sensors: Team) -> dict[str, Any]:
        spec = body(sensors.place.files, parallelism=2)
        good = spec["inputs"]["worker.inference"][:1]
        lines = (sensors.place.files / good[0]["file_id"]).read_text().splitlines()
        header, rows = lines[0], lines[1:]
        broken = rows[:70]
        cells = broken[5].split(",")
        cells[header.split(",").index("xmeas_1")] = "n/a?"
        broken[5] = ",".join(cells)
        sensors.write("inference/empty.csv", "")
        sensors.write("inference/no_column.csv", header.replace("xmeas_2", "other") + "\n" + "\n".join(rows))
        sensors.write("inference/text.csv", "\n".join([header, *broken]))
        sensors.write("inference/short.csv", "\n".join([header, *rows[:10]]))
        spec["inputs"]["worker.inference"] = good + [{"file_id": file_id} for file_id in cls.REASONS]
        return spec

    def test_each_fails_with_its_reason_and_the_others_finish(self, sensors: Team, spec: dict[str, Any]) -> None:
        sensors.apply("tolerant", spec | {"policy": {"max_failed_inputs": 5}})
        status = sensors.finished("tolerant")
        assert status["status"] == "COMPLETED"
        assert status["input_progress"] == {"pending": 0, "processing": 0, "completed": 1, "failed": 5}
        told = {failure["file_id"]: failure["message"] for failure in status["failures"]}
        assert told.keys() == self.REASONS.keys()
        wrong = {file_id: why for file_id, why in told.items() if self.REASONS[file_id] not in why}
        assert not wrong, f"these do not say what is wrong: {wrong}"

    def test_policy_decides(self, sensors: Team, spec: dict[str, Any]) -> None:
        sensors.apply("strict", spec)
        status = sensors.finished("strict")
        assert (status["status"], status["error"]["code"]) == ("FAILED", "INPUTS_FAILED")
        assert "5 of 6 inputs failed" in status["error"]["message"]
        assert status["input_progress"]["completed"] == 1


class TestBadRequests:
    def failed(self, team: Team, name: str, spec: dict[str, Any]) -> Any:
        team.apply(name, spec)
        status = team.finished(name)
        assert status["status"] == "FAILED"
        assert status["error"]["code"] == "INVALID_REQUEST"
        assert status["error"]["suggestion"]
        assert status["error"]["error_uid"].startswith("err_")
        return status["error"]["message"]

    def test_more_neighbours_than_reference_windows(self, sensors: Team) -> None:
        spec = body(sensors.place.files)
        worker_config(spec)["classifier_config"]["n_neighbors"] = 100_000
        assert "n_neighbors" in self.failed(sensors, "neighbours", spec)

    def test_references_of_one_class(self, sensors: Team) -> None:
        spec = body(sensors.place.files)
        references = spec["inputs"]["worker.n_shots"]
        spec["inputs"]["worker.n_shots"] = [r for r in references if r["metadata"] == references[0]["metadata"]]
        assert "class" in self.failed(sensors, "one-class", spec)

    def test_a_reference_without_a_class(self, sensors: Team) -> None:
        spec = body(sensors.place.files)
        del spec["inputs"]["worker.n_shots"][1]["metadata"]
        assert "inputs.worker.n_shots[1].metadata.class" in self.failed(sensors, "no-class", spec)

    def test_a_configuration_against_the_schema(self, sensors: Team) -> None:
        spec = body(sensors.place.files)
        worker_config(spec)["classifier_config"]["metric"] = "hamming"
        message = self.failed(sensors, "metric", spec)
        assert "parameters.worker.config.classifier_config.metric" in message
        assert "hamming" in message
