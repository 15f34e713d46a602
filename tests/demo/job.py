"""The demo's job: the API document's example body with the file lists replaced, applied and followed."""

import csv
import json
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.connection import Connection
from tests.cluster.errors import ClusterError
from tests.cluster.layout import CHECKOUT
from tests.cluster.progress import say
from tests.demo.installation import DEMO_NAMESPACE

SAMPLE = CHECKOUT / "manifests/samples/machine-state-job.yaml"
FOLLOW_SECONDS = 3600
PARALLELISM = 2


def body(files: Path) -> dict[str, Any]:
    """The sample's spec over the files of the store: n_shots/<class>/*.csv and inference/*.csv."""
    sample: dict[str, Any] = yaml.safe_load(SAMPLE.read_text())
    spec: dict[str, Any] = sample["spec"]
    inference = sorted(files.glob("inference/*.csv"))
    spec["inputs"] = {
        "worker.inference": [{"file_id": str(path.relative_to(files))} for path in inference],
        "worker.n_shots": [
            {"file_id": str(path.relative_to(files)), "metadata": {"class": path.parent.name}}
            for path in sorted(files.glob("n_shots/*/*.csv"))
        ],
    }
    spec["parameters"]["worker"]["parallelism"] = PARALLELISM
    _fit_columns(spec["parameters"]["worker"]["config"]["reader_config"], inference[0])
    return spec


def _fit_columns(reader: dict[str, Any], file: Path) -> None:
    """Files of the user's own seldom have the example's columns: then all numeric ones are used."""
    with file.open(newline="") as lines:
        header = next(csv.reader(lines), [])
    missing = [column for column in reader["data_columns"] if column not in header]
    if missing:
        say(f"{file.name} has no {', '.join(missing)}: using all of its numeric columns instead")
        del reader["data_columns"]
    if reader["timestamp_column"] not in header and header:
        say(f"{file.name} has no {reader['timestamp_column']}: using its first column, {header[0]}, as time")
        reader["timestamp_column"] = header[0]


def apply(cluster: Connection, files: Path) -> str:
    """-> the job's name, new with each run."""
    name = f"sensor-states-{datetime.now(UTC):%H%M%S}"
    manifest: dict[str, Any] = {
        "apiVersion": "batch-operator.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": name, "namespace": DEMO_NAMESPACE},
        "spec": body(files),
    }
    say(f"applying BatchJob {name} ({len(manifest['spec']['inputs']['worker.inference'])} files)")
    cluster.client().run("apply", "-f", "-", stdin=manifest)
    return name


def follow(cluster: Connection, name: str) -> dict[str, Any]:
    """Prints each change of the job's progress until it has finished -> its status."""
    command = [
        cluster.kubectl, f"--kubeconfig={cluster.kubeconfig}", "get", "batchjob", name, f"--namespace={DEMO_NAMESPACE}",
        "--watch", "-o", "json", f"--request-timeout={FOLLOW_SECONDS}s",
    ]  # fmt: skip
    decoder, text, last = json.JSONDecoder(), "", ""
    deadline = time.monotonic() + FOLLOW_SECONDS
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None, "asked for a pipe"
        try:
            for line in watch.stdout:
                text += line
                if line != "}\n":
                    continue
                status: dict[str, Any] = decoder.decode(text).get("status", {})
                text = ""
                shown = f"{status.get('status', '-'):<10} {status.get('progress', ''):>6}  {status.get('message', '')}"
                if shown != last:
                    say(shown)
                    last = shown
                if any(c["type"] == "Finished" and c["status"] == "True" for c in status.get("conditions", ())):
                    return status
                if time.monotonic() > deadline:
                    break
        finally:
            watch.terminate()
    raise ClusterError(f"job {name} has not finished; see: kubectl describe batchjob -n {DEMO_NAMESPACE} {name}")
