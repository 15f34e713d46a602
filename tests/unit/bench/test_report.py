"""Rows, tables and picture from records, without a run."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from tests.bench import document, picture, tables
from tests.bench.contenders.line_up import JOB, LIMIT, OPERATOR, WRITES
from tests.bench.records import Record, Records, of
from tests.bench.report import Row, ranges, ratios, rows


def throughput(contender: str, rate: float, pods: int = 1, number: int = 1, **changes: Any) -> Record:
    n = pods + 4
    record: Record = {
        "workload": "throughput",
        "contender": contender,
        "round": number,
        "pods": pods,
        "jobs": 200,
        "seconds": 200 / rate,
        "jobs_per_s": rate,
        "pods_per_s": rate * pods,
        "writes": {"create pods": [pods] * 3, "create events": [1, 1, 1], "all": [n + 1, n + 1, n + 1]},
        "above_pods": [3, 4, 4],
        "unexplained_writes": 0,
        "other_writes": {},
        "reads": {},
        "refused": {},
        "cpu_ms_per_job": 5.0,
    }
    return record | changes


IDLE: Record = {
    "workload": "idle",
    "contender": OPERATOR,
    "pods": 1,
    "first_pod_p50": 0.015,
    "first_pod_p99": 0.09,
    "end_p50": 0.01,
    "end_p99": 0.15,
    "writes": {"create pods": [1, 1, 1], "create events": [1, 1, 1], "all": [6, 6, 6]},
    "above_pods": [4, 4, 4],
    "unexplained_writes": 0,
    "reads": {},
    "rest_reads": 0,
    "rest_job_writes": 0,
}
MANY: Record = {
    "workload": "many",
    "jobs": 10_000,
    "rss_mib": 250.0,
    "rss_after_mib": 110.0,
    "rss_idle_mib": 100.0,
    "restart_first_write": 4.0,
    "restart_caught_up": 12.0,
    "growth": 1.2,
    "first": {"ms_per_job": 10.0, "cpu_ms_per_job": 5.0},
    "last": {"ms_per_job": 12.0, "cpu_ms_per_job": 6.0},
}
GOOD = [
    throughput(LIMIT, 100),
    throughput(WRITES, 80),
    throughput(OPERATOR, 72),
    throughput(JOB, 30),
    throughput(LIMIT, 10, pods=20),
    throughput(WRITES, 9.5, pods=20),
    throughput(OPERATOR, 9.2, pods=20),
    throughput(JOB, 5, pods=20),
    IDLE,
    MANY,
]
NAMES = [row.name for row in rows([])]


def held(records: list[Record]) -> dict[str, bool | None]:
    return {row.name: row.held for row in rows(records)}


def test_what_is_good_enough_in_all_passes_in_all() -> None:
    assert [row.line for row in rows(GOOD) if not row.held] == []


def test_there_is_a_line_for_each_target_measured_or_not() -> None:
    assert len(NAMES) == 9
    assert all(row.held is None and row.line.startswith("FALL ") for row in rows([]))
    assert Row("name", "measured", "target", True).line == "PASS name, measured, target"


def changed(records: list[Record], workload: str, contender: str | None = None, **changes: Any) -> list[Record]:
    def is_it(record: Record) -> bool:
        return record["workload"] == workload and contender in (None, record.get("contender"))

    return [{**record, **changes} if is_it(record) else record for record in records]


@pytest.mark.parametrize(
    ("records", "falls"),
    [
        (changed(GOOD, "throughput", OPERATOR, jobs_per_s=67.0), 0),
        (changed(GOOD, "throughput", JOB, jobs_per_s=73.0), 0),
        (changed(GOOD, "throughput", LIMIT, pods_per_s=205.0), 1),
        (changed(GOOD, "idle", first_pod_p99=0.101), 2),
        (changed(GOOD, "idle", end_p99=0.201), 3),
        (changed(GOOD, "idle", rest_job_writes=1), 4),
        (changed(GOOD, "throughput", OPERATOR, reads={"get configmaps": 1}), 4),
        (changed(GOOD, "idle", writes={"create events": [2, 2, 2], "all": [6, 6, 6]}), 4),
        (changed(GOOD, "idle", above_pods=[4, 4, 5]), 4),
        (changed(GOOD, "throughput", OPERATOR, above_pods=[4, 5, 5]), 4),
        (changed(GOOD, "throughput", OPERATOR, cpu_ms_per_job=6.1), 5),
        (changed(GOOD, "many", rss_mib=301.0), 6),
        (changed(GOOD, "many", rss_after_mib=121.0), 6),
        (changed(GOOD, "many", restart_first_write=5.1), 7),
        (changed(GOOD, "many", restart_caught_up=15.1), 7),
        (changed(GOOD, "many", growth=1.31), 8),
    ],
    ids=lambda value: NAMES[value] if isinstance(value, int) else "",
)
def test_what_is_worse_than_its_target_falls_alone(records: list[Record], falls: int) -> None:
    found = [row.name for row in rows(records) if not row.held]
    assert found == [NAMES[falls]]


def test_rounds_give_median_least_and_most() -> None:
    rounds = [throughput(OPERATOR, rate, number=n) for n, rate in enumerate((70, 50, 90), 1)]
    found = ranges(rounds, "jobs_per_s", 1)[OPERATOR]
    assert (found.median, found.least, found.most, found.rounds) == (70, 50, 90, 3)
    assert found.words == "70 (50 – 90)"


def test_a_peer_is_beaten_only_where_the_ranges_of_the_rounds_do_not_meet() -> None:
    again = [throughput(JOB, 73, number=2), throughput(JOB, 30, number=3)]
    assert held([*GOOD, *again])[NAMES[0]] is False


def test_a_ratio_is_of_contenders_of_the_same_round() -> None:
    rounds = [
        throughput(name, rate, number=number)
        for number, speed in enumerate((1.0, 0.5, 0.7), 1)
        for name, rate in ((OPERATOR, 90 * speed), (WRITES, 100 * speed))
    ]
    assert ratios([*rounds, throughput(OPERATOR, 5, number=4)], "jobs_per_s", 1, WRITES) == pytest.approx([0.9] * 3)
    assert "0.90 of 0b (by round 0.90, 0.90 – 0.90)" in rows(rounds)[0].measured


def test_tables_hold_every_contender_that_ran_and_nothing_that_did_not() -> None:
    text = tables.tables(GOOD)
    assert f"| {OPERATOR} | 72 | 184 |" in text
    assert "JobSet" not in text
    assert "churn" not in text


def test_the_picture_is_well_formed_and_has_a_bar_for_each_contender_and_shape() -> None:
    root = ElementTree.fromstring(picture.draw([*GOOD, throughput(OPERATOR, 70, number=2)]))
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{space}text")]
    assert texts.count(OPERATOR) == 2
    assert len(root.findall(f"{space}rect")) == 1 + 8
    assert len(root.findall(f"{space}path")) == 1, "least to most, where there are rounds"


def test_the_page_is_written_between_its_markers_and_nowhere_else(tmp_path: Path) -> None:
    page, drawing = tmp_path / "performance.md", tmp_path / "performance.svg"
    page.write_text(f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n")
    document.write(GOOD, page, drawing)
    text = page.read_text()
    assert text.startswith(f"before\n{document.BEGIN}\n")
    assert text.endswith(f"\n{document.END}\nafter\n")
    assert "](performance.svg)" in text
    assert "old" not in text
    assert drawing.read_text().startswith("<svg ")
    page.write_text("no markers")
    with pytest.raises(LookupError, match="has no lines"):
        document.write(GOOD, page, drawing)


def test_records_are_read_as_they_were_kept(tmp_path: Path) -> None:
    records = Records(tmp_path)
    for record in GOOD:
        records.add(record)
    assert records.load() == GOOD
    assert of(records.load(), "throughput", contender=JOB, pods=20) == [GOOD[7]]
