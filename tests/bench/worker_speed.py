"""Measures the machine-state worker: windows a second, and memory on a large file (docs/accuracy.md has the figures).

A made-up plant of 52 columns; the worker runs as in its pod, in a process of its own, with one thread. Two runs: step 1
on a short file for speed, and step = window on a file of `--megabytes` for memory.

    python -m tests.bench.worker_speed [--megabytes 1000]
"""

import argparse
import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

COLUMNS = 52
WINDOW = 64
REFERENCE_ROWS = 1200
SPEED_ROWS = BLOCK_ROWS = 40_000

# Runs the worker, then says what it used: the highest resident memory (KiB) and the processor's seconds.
_MEASURED = (
    "import json, resource, sys; from batch_worker.cli import main; code = main(['machine-state-classification']); "
    "used = resource.getrusage(resource.RUSAGE_SELF); "
    "print(json.dumps({'code': code, 'kib': used.ru_maxrss, 'cpu': used.ru_utime + used.ru_stime}), file=sys.stderr)"
)


def lines(rows: int, level: float, seed: int) -> list[str]:
    """Rows of a plant that wanders around `level`, as CSV without the header."""
    source = random.Random(seed)
    state = [level] * COLUMNS
    made = []
    for row in range(rows):
        state = [0.98 * value + 0.02 * level + source.gauss(0, 0.1) for value in state]
        made.append(f"{row}," + ",".join(f"{100 + value:.5g}" for value in state) + "\n")
    return made


def write(path: Path, content: list[str], times: int = 1) -> None:
    """A CSV file of `content`, repeated."""
    with path.open("w") as file:
        file.write("timestamp," + ",".join(f"sensor_{number}" for number in range(COLUMNS)) + "\n")
        text = "".join(content)
        for _ in range(times):
            file.write(text)


def run(root: Path, name: str, step: int) -> dict[str, Any]:
    """One job of one input; its figures."""
    reader = {"window_size": WINDOW, "step_size": step}
    references = [{"file_id": f"{label}.csv", "metadata": {"class": label}} for label in ("low", "high")]
    job = {
        "id": "job_bench",
        "name": "bench",
        "parameters": {"worker": {"parallelism": 1, "config": {"reader_config": reader}}},
        "output_ports": [{"name": "worker.results"}],
        "inputs_url": f"file://{root}",
        "inputs": [{"port": "worker.inference", "file_id": name}],
        "references": {"worker.n_shots": references},
    }
    content = json.dumps(job).encode()
    (root / "job.json.gz").write_bytes(gzip.compress(content))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "BATCH_JOB_FILE": str(root / "job.json.gz"),
        "BATCH_JOB_SHA256": hashlib.sha256(content).hexdigest(),
        "BATCH_COMPONENT": "worker",
        "BATCH_INDEX": "0",
        "BATCH_PARALLELISM": "1",
        "BATCH_ATTEMPT": "0",
        "BATCH_INPUTS": "0",
        "BATCH_OUTPUT_URL": f"file://{root}/out-{name}",
    }
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED], env=environment, capture_output=True, text=True, check=True
    )
    used: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    ended = next(entry for entry in map(json.loads, done.stdout.splitlines()) if entry["message"] == "input completed")
    return used | {"windows": ended["items"], "seconds": ended["seconds"]}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the large file; 0 leaves it out")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for label, level in (("low", 0.0), ("high", 1.0)):
            write(root / f"{label}.csv", lines(REFERENCE_ROWS, level, seed=int(level)))
        block = lines(BLOCK_ROWS, 0.5, seed=2)
        write(root / "short.csv", block[:SPEED_ROWS])
        short = run(root, "short.csv", step=1)
        print(
            f"speed:  {short['windows']} windows of {WINDOW} rows and {COLUMNS} columns in {short['seconds']:.1f} s, "
            f"{short['windows'] / short['seconds']:.0f} a second; by the processor's clock, with start and fit, "
            f"{short['windows'] / short['cpu']:.0f} a second; {short['kib'] / 1024:.0f} MiB",
            flush=True,
        )
        if chosen.megabytes:
            size = sum(map(len, block))
            print(f"memory: writing {chosen.megabytes} MB", flush=True)
            write(root / "long.csv", block, times=-(-chosen.megabytes * 1_000_000 // size))
            started = time.monotonic()
            long = run(root, "long.csv", step=WINDOW)
            megabytes = (root / "long.csv").stat().st_size / 1e6
            print(
                f"memory: {megabytes:.0f} MB, {long['windows']} windows in {time.monotonic() - started:.0f} s, "
                f"highest resident memory {long['kib'] / 1024:.0f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
