"""Makes a small, seeded set of sensor files: what `make demo` classifies where the user brings none.

A made-up pump in one of four states, one row a second. The columns carry the names of the API document's example, so
that its request body fits, but have nothing to do with that example's plant. Standard library only.

    OUT/n_shots/<class>/<class>_<n>.csv   labelled examples
    OUT/inference/run_<n>.csv             to be classified, each of one state
    OUT/labels.csv                        file_id,class of the inference files

Command: python3 -m tests.demo.sensor_files OUT --seed 7
"""

import argparse
import csv
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ("timestamp", "xmeas_1", "xmeas_2", "xmv_11")
FIRST_TIMESTAMP = 1_700_000_000
REFERENCE_ROWS = 400
INFERENCE_ROWS = (96, 101, 106, 99)


@dataclass(frozen=True)
class Condition:
    """One state of the pump: what it adds to the pump's own movement."""

    vibration: float  # amplitude of the shaft's harmonic, mm/s
    harmonic: float  # its second harmonic, as a share of the first
    bursts: float  # chance of a burst of broadband noise in a row
    pressure: float  # shift of the outlet pressure, kPa
    wander: float  # slow movement of the valve, percent


CONDITIONS = {
    "normal": Condition(vibration=0.10, harmonic=0.2, bursts=0.00, pressure=0, wander=0.3),
    "imbalance": Condition(vibration=0.32, harmonic=0.2, bursts=0.00, pressure=0, wander=0.3),
    "cavitation": Condition(vibration=0.12, harmonic=0.3, bursts=0.12, pressure=-25, wander=0.4),
    "bearing": Condition(vibration=0.13, harmonic=1.6, bursts=0.02, pressure=5, wander=0.9),
}


def rows(condition: Condition, count: int, start: int, source: random.Random) -> Iterator[tuple[str, ...]]:
    """`count` rows as text: timestamp (s), vibration (mm/s), outlet pressure (kPa), valve (percent)."""
    phase, speed = source.uniform(0, 2 * math.pi), source.gauss(0.115, 0.003)  # turns a row, after aliasing
    amplitude = condition.vibration * source.uniform(0.9, 1.1)
    drift, valve = source.gauss(0, 4), source.gauss(0, 0.2)
    for row in range(count):
        drift += source.gauss(0, 0.25) - 0.01 * drift
        valve += source.gauss(0, 0.12) - 0.05 * valve
        turn = phase + 2 * math.pi * speed * row
        burst = source.gauss(0, 0.9) if source.random() < condition.bursts else 0.0
        shaft = amplitude * (math.sin(turn) + condition.harmonic * math.sin(2 * turn + 0.7))
        vibration = 0.6 + shaft + 0.25 * burst + source.gauss(0, 0.04)
        pressure = 3660 + condition.pressure + drift - 12 * abs(burst) + 4 * math.sin(turn / 3) + source.gauss(0, 3)
        opening = 18 + condition.wander * math.sin(2 * math.pi * row / 47 + phase) + valve + source.gauss(0, 0.15)
        yield str(start + row), f"{vibration:.5f}", f"{pressure:.2f}", f"{opening:.3f}"


def write(out: Path, seed: int, files: int = 8, reference_rows: int = REFERENCE_ROWS) -> dict[str, str]:
    """Write the set below `out`, over files of the same names; returns the class of each inference file by its name."""
    labels: dict[str, str] = {}
    clock = FIRST_TIMESTAMP
    for name, condition in CONDITIONS.items():
        for number in range(2):
            source = random.Random(f"{seed} reference {name} {number}")
            _write(out / "n_shots" / name / f"{name}_{number}.csv", rows(condition, reference_rows, clock, source))
            clock += reference_rows
    for number in range(files):
        source = random.Random(f"{seed} inference {number}")
        name = list(CONDITIONS)[number % len(CONDITIONS)]
        count = INFERENCE_ROWS[number % len(INFERENCE_ROWS)]
        labels[f"run_{number}.csv"] = name
        _write(out / "inference" / f"run_{number}.csv", rows(CONDITIONS[name], count, clock, source))
        clock += count
    _write(out / "labels.csv", labels.items(), header=("file_id", "class"))
    return labels


def _write(path: Path, lines: Iterable[Sequence[str]], header: Sequence[str] = COLUMNS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry of the command."""
    parser = argparse.ArgumentParser(description="Makes a small, seeded set of sensor files.")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same files (default 7)")
    parser.add_argument("--files", type=int, default=8, help="inference files (default 8)")
    chosen = parser.parse_args(arguments)
    labels = write(chosen.out, chosen.seed, chosen.files)
    print(f"{len(labels)} files to classify and {2 * len(CONDITIONS)} labelled ones are in {chosen.out}")


if __name__ == "__main__":
    main()
