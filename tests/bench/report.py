"""Records -> one row for each target of the benchmark. Pure. Called by __main__ and tables; ranges also by picture."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.contenders.line_up import BARE, LIMIT, LINE_UP, OPERATOR, WRITES
from tests.bench.figures import PLANNED_WRITES, PROGRESS_SECONDS
from tests.bench.records import Record, of

JOBS_OF_WRITES, PODS_OF_LIMIT = 0.85, 0.90
FIRST_P50, FIRST_P99, END_P99 = 0.020, 0.100, 0.200
EVENTS = 1
CPU_MS = 6.0
RSS_MIB, RSS_BACK = 300.0, 1.2
FIRST_WRITE, CAUGHT_UP = 5.0, 15.0
GROWTH = 1.3


@dataclass(frozen=True)
class Row:
    """One line of the targets. `held` None: it was not measured."""

    name: str
    measured: str
    target: str
    held: bool | None

    @property
    def was_measured(self) -> bool:
        return self.held is not None

    @property
    def line(self) -> str:
        return f"{'PASS' if self.held else 'FALL'} {self.name}, {self.measured}, {self.target}"


@dataclass(frozen=True)
class Range:
    """Of several rounds."""

    median: float
    least: float
    most: float
    rounds: int
    jobs: int
    """Of the last round: later ones may have fewer."""

    @property
    def words(self) -> str:
        if self.rounds == 1:
            return f"{self.median:.4g}"
        return f"{self.median:.4g} ({self.least:.4g} – {self.most:.4g})"


def ranges(records: Iterable[Record], figure: str, pods: int) -> dict[str, Range]:
    """By contender, in the line-up's order, of the throughput of jobs with so many pods."""
    found: dict[str, Range] = {}
    all_records = of(records, "throughput", pods=pods)
    for place in LINE_UP:
        runs = [record for record in all_records if record["contender"] == place.name]
        if runs:
            values = [record[figure] for record in runs]
            found[place.name] = Range(median(values), min(values), max(values), len(runs), runs[-1]["jobs"])
    return found


def shapes(records: Iterable[Record]) -> list[int]:
    """Pods a job of all throughputs."""
    return sorted({record["pods"] for record in of(records, "throughput")})


def rows(records: Sequence[Record]) -> list[Row]:
    """One for each target, in the order of the issue."""
    checks: list[tuple[str, str, Callable[[Sequence[Record]], tuple[str, bool] | None]]] = [
        ("jobs/s at 1 pod", f"≥ {JOBS_OF_WRITES} of 0b and above every other contender", _jobs),
        ("pods/s at 20 and more pods a job", f"≥ {PODS_OF_LIMIT} of 0a and above every other contender", _pods),
        ("first pod after apply, idle", f"p50 ≤ {as_ms(FIRST_P50)}, p99 ≤ {as_ms(FIRST_P99)}", _first_pod),
        ("last pod done → COMPLETED, idle", f"p99 ≤ {as_ms(END_P99)}", _end),
        (
            "writes to the job's own objects, n pods",
            f"≤ n + {PLANNED_WRITES}, ≤ {EVENTS} Event, 0 reads in steady state, 0 writes to jobs at rest",
            _writes,
        ),
        ("operator CPU per one-pod job", f"≤ {CPU_MS:.0f} ms", _cpu),
        (
            "RSS with 10,000 jobs and 20,000 pods known",
            f"≤ {RSS_MIB:.0f} MiB, and within 20 % of its start after they are deleted",
            _rss,
        ),
        (
            "kill -9 with 10,000 jobs: first right write, all caught up",
            f"≤ {FIRST_WRITE:.0f} s, ≤ {CAUGHT_UP:.0f} s",
            _restart,
        ),
        ("growth from 1,000 to 10,000 live jobs", f"time per job within {GROWTH} ×", _growth),
    ]
    found = []
    for name, target, check in checks:
        seen = check(records)
        found.append(Row(name, seen[0], target, seen[1]) if seen else Row(name, "not measured", target, None))
    return found


def as_ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def ratios(records: Iterable[Record], figure: str, pods: int, other: str) -> list[float]:
    """Ours over another contender's, of each round in which both ran: minutes apart, on a machine that may have another
    speed an hour later."""
    rounds: dict[str, dict[int, float]] = {OPERATOR: {}, other: {}}
    for record in of(records, "throughput", pods=pods):
        if record["contender"] in rounds:
            rounds[record["contender"]][record["round"]] = record[figure]
    return [ours / rounds[other][number] for number, ours in rounds[OPERATOR].items() if number in rounds[other]]


def _jobs(records: Sequence[Record]) -> tuple[str, bool] | None:
    found = ranges(records, "jobs_per_s", 1)
    if OPERATOR not in found or WRITES not in found:
        return None
    ours = found[OPERATOR]
    part = ours.median / found[WRITES].median
    best, beaten = _best_other(found, ours)
    by_round = _by_round(ratios(records, "jobs_per_s", 1, WRITES))
    return f"{ours.words} jobs/s, {part:.2f} of 0b{by_round}{best}", part >= JOBS_OF_WRITES and beaten


def _pods(records: Sequence[Record]) -> tuple[str, bool] | None:
    words, held = [], True
    for pods in shapes(records):
        found = ranges(records, "pods_per_s", pods)
        if pods < 20 or OPERATOR not in found or LIMIT not in found:
            continue
        part = found[OPERATOR].median / found[LIMIT].median
        best, beaten = _best_other(found, found[OPERATOR])
        held = held and part >= PODS_OF_LIMIT and beaten
        by_round = _by_round(ratios(records, "pods_per_s", pods, LIMIT))
        words.append(f"at {pods}: {found[OPERATOR].words}, {part:.2f} of 0a{by_round}{best}")
    return ("; ".join(words), held) if words else None


def _by_round(values: Sequence[float]) -> str:
    """Beside the ratio of the medians, which decides."""
    if len(values) < 2:
        return ""
    return f" (by round {median(values):.2f}, {min(values):.2f} – {max(values):.2f})"


def _best_other(found: dict[str, Range], ours: Range) -> tuple[str, bool]:
    """A claim needs ranges that do not overlap."""
    others = {name: value for name, value in found.items() if name not in (OPERATOR, *BARE)}
    if not others:
        return "", True
    name, best = max(others.items(), key=lambda item: item[1].median)
    return f", {name} {best.words}", ours.least > best.most


def _first_pod(records: Sequence[Record]) -> tuple[str, bool] | None:
    found = of(records, "idle", contender=OPERATOR)
    if not found:
        return None
    p50, p99 = found[-1]["first_pod_p50"], found[-1]["first_pod_p99"]
    return f"p50 {as_ms(p50)}, p99 {as_ms(p99)}", p50 <= FIRST_P50 and p99 <= FIRST_P99


def _end(records: Sequence[Record]) -> tuple[str, bool] | None:
    found = of(records, "idle", contender=OPERATOR)
    if not found:
        return None
    return f"p99 {as_ms(found[-1]['end_p99'])}", found[-1]["end_p99"] <= END_P99


def _writes(records: Sequence[Record]) -> tuple[str, bool] | None:
    busy = of(records, "throughput", contender=OPERATOR)
    idle = of(records, "idle", contender=OPERATOR)
    if not busy and not idle:
        return None
    events = max(record["writes"].get("create events", [0, 0, 0])[2] for record in [*busy, *idle])
    reads = sum(sum(record["reads"].values()) for record in [*busy, *idle])
    at_rest = sum(record["rest_job_writes"] + record["rest_reads"] for record in idle)
    above = [record["above_pods"] for record in [*busy, *idle]]
    unexplained = sum(record["unexplained_writes"] for record in [*busy, *idle])
    least, middle, most = min(a[0] for a in above), median(a[1] for a in above), max(a[2] for a in above)
    rest = f", {at_rest} reads and writes at rest" if idle else ""
    words = (
        f"n + {least} … n + {most} (median n + {middle:g}), all but {unexplained} explained by a patch of progress "
        f"every {PROGRESS_SECONDS:.0f} s; {events} Events at most, {reads} reads{rest}"
    )
    return words, most <= PLANNED_WRITES and events <= EVENTS and not reads and not at_rest


def _cpu(records: Sequence[Record]) -> tuple[str, bool] | None:
    found = ranges(records, "cpu_ms_per_job", 1).get(OPERATOR)
    return (f"{found.words} ms", found.median <= CPU_MS) if found else None


def _rss(records: Sequence[Record]) -> tuple[str, bool] | None:
    found = of(records, "many")
    if not found:
        return None
    at, after, idle = (found[-1][key] for key in ("rss_mib", "rss_after_mib", "rss_idle_mib"))
    words = f"{at:.0f} MiB with {found[-1]['jobs']} jobs, {after:.0f} MiB afterwards ({idle:.0f} MiB at its start)"
    return words, at <= RSS_MIB and after <= RSS_BACK * idle


def _restart(records: Sequence[Record]) -> tuple[str, bool] | None:
    found = of(records, "many")
    if not found:
        return None
    first, all_of_it = found[-1]["restart_first_write"], found[-1]["restart_caught_up"]
    words = f"{first:.1f} s, {all_of_it:.1f} s with {found[-1]['jobs']} jobs"
    return words, first <= FIRST_WRITE and all_of_it <= CAUGHT_UP


def _growth(records: Sequence[Record]) -> tuple[str, bool] | None:
    found = of(records, "many")
    if not found:
        return None
    record = found[-1]
    words = (
        f"{record['growth']:.2f} × ({record['first']['ms_per_job']:.1f} → {record['last']['ms_per_job']:.1f} ms a job; "
        f"CPU {record['first']['cpu_ms_per_job']:.1f} → {record['last']['cpu_ms_per_job']:.1f} ms)"
    )
    return words, record["growth"] <= GROWTH
