"""Shows a finished demo job: where its results are, their first lines, and with labels how many are right."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cluster.connection import Connection
from tests.demo.installation import DEMO_NAMESPACE
from tests.demo.store import Place

PORT = "worker.results"
FIRST_LINES = 4


def show(cluster: Connection, name: str, status: dict[str, Any], place: Place) -> int:
    """Prints -> exit code: 0 for a completed job."""
    print()
    print(cluster.client().run("get", "batchjob", name, f"--namespace={DEMO_NAMESPACE}", "-o", "wide"), end="")
    if status["status"] != "COMPLETED":
        error = status.get("error") or {}
        print(f"\n{error.get('code')}: {error.get('message')}\n{error.get('suggestion', '')}")
        return 1
    print(f"input_progress: {json.dumps(status['input_progress'])}")
    folder = place.outputs / DEMO_NAMESPACE / status["id"]
    print(f"results:        {folder}")
    for path in sorted(folder.glob(f"{PORT}/0/*.csv"))[:1]:
        print(f"\n{path.relative_to(folder)}:")
        print("".join(path.read_text().splitlines(keepends=True)[:FIRST_LINES]), end="")
    if (labels := read_labels(place.files / "labels.csv")) is not None:
        right, total = score(folder, labels, file_ids(cluster, name))
        print(
            f"\naccuracy {right / total:.2f} ({right} of {total} windows)"
            if total
            else "\naccuracy: no labelled window"
        )
    print(f"\nkubectl: export KUBECONFIG={cluster.kubeconfig}; kubectl get bj -n {DEMO_NAMESPACE}")
    print("end the cluster: make cluster-down")
    return 0


def file_ids(cluster: Connection, name: str) -> list[str]:
    """The tracked inputs in the order of their numbers."""
    spec = cluster.client().get("batchjob", name, f"--namespace={DEMO_NAMESPACE}")["spec"]
    return [item["file_id"] for item in spec["inputs"]["worker.inference"]]


def read_labels(path: Path) -> dict[str, str] | None:
    """labels.csv (file_id,class) -> class by the file's name; None where there is none."""
    if not path.is_file():
        return None
    with path.open(newline="") as lines:
        return {Path(row["file_id"]).name: row["class"] for row in csv.DictReader(lines)}


def score(folder: Path, labels: dict[str, str], files: list[str]) -> tuple[int, int]:
    """(windows classified right, windows of labelled files), read through the commit records."""
    right = total = 0
    for number, file_id in enumerate(files):
        truth = labels.get(Path(file_id).name)
        if truth is None:
            continue
        found = list(predictions(folder / PORT / str(number)))
        total += len(found)
        right += sum(prediction == truth for prediction in found)
    return right, total


def predictions(folder: Path) -> Iterator[str]:
    """The committed predictions of one input, in row order; none where there is no commit record."""
    record = folder / "commit.json"
    if not record.is_file():
        return
    for part in json.loads(record.read_text())["parts"]:
        with (folder / part["name"]).open(newline="") as lines:
            for row in csv.DictReader(lines):
                yield row["Prediction"]
