import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from batch_worker.runner import Stop
from batch_worker.workers.machine_state.worker import MachineStateClassification
from tests.unit.batch_worker.builders import JobBuilder, Killed, killed_at, run_with, sensor_csv, two_state_job


def lines(job: JobBuilder, number: int) -> list[dict[str, str]]:
    """The result lines of an input, from its committed parts in order."""
    parts = [content for name, content in job.committed().items() if name.startswith(f"{number}/pred_")]
    return [line for part in parts for line in csv.DictReader(io.StringIO(part.decode()))]


def test_each_window_gets_a_line_with_its_state(tmp_path: Path) -> None:
    job = two_state_job(tmp_path)
    assert job.run(MachineStateClassification) == 0
    found = lines(job, 1)
    assert list(found[0]) == ["timestamp", "Prediction", "confidence", "invalid", "window_start_row"]
    assert [line["timestamp"] for line in found] == [str(1000 + row) for row in range(60 - 16 + 1)]
    assert [line["window_start_row"] for line in found] == [str(row) for row in range(45)]
    assert {line["Prediction"] for line in found} == {"wild"}
    assert {line["Prediction"] for line in lines(job, 0)} == {"calm"}
    assert job.last_report()["items"] == {"done": 135, "total": 135, "failed": 0}


def test_parts_hold_a_fixed_number_of_windows(tmp_path: Path) -> None:
    job = two_state_job(tmp_path, inputs=1)
    assert job.run(MachineStateClassification) == 0
    record = json.loads(job.committed()["0/commit.json"])
    assert [part["items"]["done"] for part in record["parts"]] == [8, 8, 8, 8, 8, 5]
    assert record["parts"][3]["name"] == "pred_run_0_part_00003.csv"


def test_the_record_and_the_notice_say_which_encoder_ran(tmp_path: Path) -> None:
    job = two_state_job(tmp_path, inputs=1, model_type="omega_1_4_base")
    assert job.run(MachineStateClassification) == 0
    made_by = json.loads(job.committed()["0/commit.json"])["made_by"]
    assert (made_by["model_type"], made_by["encoder"]) == ("omega_1_4_base", "rocket_1")
    assert job.last_report()["notice"].startswith("model_type omega_1_4_base is another name for rocket_1")


def test_without_data_columns_all_numeric_ones_count(tmp_path: Path) -> None:
    job = two_state_job(tmp_path, inputs=1)
    assert job.run(MachineStateClassification) == 0
    assert json.loads(job.committed()["0/commit.json"])["made_by"]["data_columns"] == ["flow", "pressure"]


@pytest.mark.parametrize("model_type", ["rocket_1", "stats_1", "raw_1"])
def test_any_parallelism_gives_the_same_bytes(tmp_path: Path, model_type: str) -> None:
    results = []
    for blocks in (["0-4"], ["0-2", "3-4"], ["0-1", "2", "3", "4"]):
        job = two_state_job(tmp_path / str(len(blocks)), inputs=5, model_type=model_type)
        for index, block in enumerate(blocks):
            assert (
                job.run(MachineStateClassification, block, BATCH_INDEX=str(index), BATCH_PARALLELISM=str(len(blocks)))
                == 0
            )
        results.append(job.committed())
    assert len(results[0]) == 5 * 7
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("after", [False, True], ids=["before-the-write", "after-the-write"])
@pytest.mark.parametrize("at", range(1, 14))
def test_killed_at_any_write_the_next_attempt_gives_the_same_bytes(tmp_path: Path, at: int, after: bool) -> None:
    calm = two_state_job(tmp_path / "calm", inputs=1)
    assert calm.run(MachineStateClassification) == 0
    job = two_state_job(tmp_path / "killed", inputs=1)
    job.inputs_url = f"file://{calm.files}"
    with killed_at(at, after=after), pytest.raises(Killed):
        run_with(MachineStateClassification(), job.environment())

    encoded: list[int] = []

    class Counting(MachineStateClassification):
        def _classify(self, batch: Any, part: Any) -> None:
            encoded.append(len(batch.windows))
            super()._classify(batch, part)

    worker = Counting()
    assert run_with(worker, job.environment(BATCH_ATTEMPT="1"))[0] == 0
    assert job.committed() == calm.committed()
    recorded = (at if after else at - 1) // 2  # parts whose record was written before the kill
    assert sum(encoded) == max(0, 45 - 8 * recorded) * (not (after and at == 13))


def test_parts_of_another_config_are_not_taken_over(tmp_path: Path) -> None:
    job = two_state_job(tmp_path / "a", inputs=1)
    with killed_at(7, after=True), pytest.raises(Killed):
        run_with(MachineStateClassification(), job.environment())
    job.config = {**job.config, "classifier_config": {"n_neighbors": 9}}
    assert job.run(MachineStateClassification) == 0
    other = two_state_job(tmp_path / "b", inputs=1, classifier_config={"n_neighbors": 9})
    other.inputs_url = f"file://{job.files}"
    assert other.run(MachineStateClassification) == 0
    assert job.committed() == other.committed()


def test_a_stop_in_the_middle_of_an_input_keeps_the_finished_parts(tmp_path: Path) -> None:
    job = two_state_job(tmp_path, inputs=1)
    stop = Stop()

    class Interrupted(MachineStateClassification):
        def _classify(self, batch: Any, part: Any) -> None:
            super()._classify(batch, part)
            if batch.first >= 16:
                stop.set()

    code, state = run_with(Interrupted(), job.environment(), stop)
    assert code == 75
    assert state.body() | {"notice": ""} == {
        "completed": "",
        "processing": "",
        "failed": "",
        "reasons": {},
        "notice": "",
        "items": {"done": 0, "total": None, "failed": 0},
    }
    assert [path.name for path in sorted((job.results / "0" / "parts").iterdir())] == [
        "00000.json",
        "00001.json",
        "00002.json",
    ]
    assert job.run(MachineStateClassification, BATCH_ATTEMPT="1") == 0
    assert len(lines(job, 0)) == 45


def test_windows_with_missing_values_are_marked_and_counted(tmp_path: Path) -> None:
    job = two_state_job(tmp_path, inputs=1)
    path = job.files / "run_0.csv"
    text = path.read_text().splitlines()
    text[21] = text[21].split(",")[0] + ",,"
    path.write_text("\n".join(text) + "\n")
    assert job.run(MachineStateClassification) == 0
    found = lines(job, 0)
    invalid = [int(line["window_start_row"]) for line in found if line["invalid"] == "1"]
    assert invalid == list(range(5, 21))
    assert {(line["Prediction"], line["confidence"]) for line in found if line["invalid"] == "1"} == {("", "")}
    assert job.last_report()["items"] == {"done": 29, "total": 45, "failed": 16}


BAD_INPUTS = {
    "missing": (None, "the file bad.csv is not in the store"),
    "empty": ("", "the file is empty"),
    "header-only": ("timestamp,flow,pressure\n", "the file has no rows"),
    "no-such-column": ("timestamp,flow\n" + "1,2\n" * 20, "the file has no column pressure"),
    "no-timestamp": ("flow,pressure\n" + "1,2\n" * 20, "the file has no column timestamp"),
    "text": (
        "timestamp,flow,pressure\n" + "1,2,3\n" * 20 + "2,high,3\n",
        "column flow: 'high' in line 22 is not a number",
    ),
    "short": ("timestamp,flow,pressure\n" + "1,2,3\n" * 15, "the file has 15 rows, fewer than a window of 16"),
    "all-missing": ("timestamp,flow,pressure\n" + "1,,3\n" * 20, "every one of the 5 windows has missing values"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_a_bad_input_is_failed_with_its_reason_and_the_others_finish(tmp_path: Path, case: str) -> None:
    content, reason = BAD_INPUTS[case]
    job = two_state_job(tmp_path)
    job.inputs = [job.inputs[0], "bad.csv", job.inputs[2]]
    if content is not None:
        (job.files / "bad.csv").write_text(content)
    assert job.run(MachineStateClassification) == 0
    report = job.last_report()
    assert (report["completed"], report["failed"]) == ("0,2", "1")
    assert report["reasons"]["1"].startswith(reason)
    assert not (job.results / "1" / "commit.json").exists()


def refused(job: JobBuilder) -> dict[str, str]:
    """The error of a job that must end with exit 64 and without a result."""
    assert job.run(MachineStateClassification) == 64
    assert job.committed() == {}
    error: dict[str, str] = job.last_report()["error"]
    assert error["code"] == "INVALID_REQUEST"
    assert error["suggestion"]
    return error


def test_more_neighbours_than_reference_windows(tmp_path: Path) -> None:
    error = refused(two_state_job(tmp_path, classifier_config={"n_neighbors": 211}))
    assert error["message"] == (
        "spec.parameters.worker.config.classifier_config.n_neighbors: n_neighbors is 211, "
        "above the number of reference windows, 210"
    )


def test_as_many_neighbours_as_reference_windows(tmp_path: Path) -> None:
    assert two_state_job(tmp_path, classifier_config={"n_neighbors": 210}).run(MachineStateClassification) == 0


def test_a_reference_without_a_class(tmp_path: Path) -> None:
    job = two_state_job(tmp_path)
    job.references = [("calm.csv", "calm"), ("wild.csv", None)]
    assert refused(job)["message"].startswith(
        "spec.inputs[worker.n_shots][1].metadata.class: the reference file wild.csv"
    )


def test_references_of_one_class(tmp_path: Path) -> None:
    job = two_state_job(tmp_path)
    job.references = [("calm.csv", "calm"), ("wild.csv", "calm")]
    assert refused(job)["message"] == "spec.inputs[worker.n_shots]: all reference files are of one class, calm"


def test_no_references(tmp_path: Path) -> None:
    job = two_state_job(tmp_path)
    job.references = []
    assert "there is no reference file" in refused(job)["message"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "the file wild.csv is not in the store"),
        ("timestamp,flow,pressure\n1,2,3\n", "the file has 1 rows, fewer than a window of 16"),
        ("timestamp,flow\n" + "1,2\n" * 30, "the file has no column pressure"),
        ("timestamp,flow,pressure\n" + "1,2,x\n" * 30, "column pressure: 'x' in line 2 is not a number"),
        ("timestamp,flow,pressure\n" + "1,,3\n" * 30, "has missing values"),
    ],
)
def test_a_reference_that_cannot_be_used(tmp_path: Path, content: str | None, words: str) -> None:
    job = two_state_job(tmp_path)
    (job.files / "wild.csv").unlink()
    if content is not None:
        (job.files / "wild.csv").write_text(content)
    message = refused(job)["message"]
    assert message.startswith("spec.inputs[worker.n_shots][1]:")
    assert words in message


def test_references_without_numbers(tmp_path: Path) -> None:
    job = two_state_job(tmp_path)
    (job.files / "calm.csv").write_text("timestamp,flow\n" + "1,a\n" * 30)
    assert "has no numeric column beside timestamp" in refused(job)["message"]


@pytest.mark.parametrize("model_type", ["rocket_1", "stats_1", "raw_1"])
def test_references_that_stand_still(tmp_path: Path, model_type: str) -> None:
    job = two_state_job(tmp_path, model_type=model_type)
    for name, _ in job.references:
        (job.files / name).write_text("timestamp,flow,pressure\n" + "1,2,3\n" * 30)
    assert "all reference windows are alike in flow, pressure" in refused(job)["message"]


def test_an_unknown_encoder(tmp_path: Path) -> None:
    error = refused(two_state_job(tmp_path, model_type="gpt"))
    assert error["message"].startswith("spec.parameters.worker.config.model_type: there is no encoder 'gpt'")


def test_class_names_and_timestamps_with_commas_stay_whole(tmp_path: Path) -> None:
    job = two_state_job(tmp_path, inputs=1)
    job.references = [("calm.csv", 'calm, "quiet"'), ("wild.csv", "wild")]
    sensor_csv(job.files / "run_0.csv", 20, seed=10)
    text = (job.files / "run_0.csv").read_text().splitlines()
    (job.files / "run_0.csv").write_text(
        "\n".join([text[0], *(f'"1 May, {line.split(",", 1)[0]}",{line.split(",", 1)[1]}' for line in text[1:])])
    )
    assert job.run(MachineStateClassification) == 0
    assert lines(job, 0)[0]["Prediction"] == 'calm, "quiet"'
    assert lines(job, 0)[4]["timestamp"] == "1 May, 1004"
