"""``python -m tests.bench.scaling``: what a large cluster asks of one operator, and what breaks first; docs/scaling.md.

Costs are measured (scaling_measure.py writes scaling_costs.json); the loads are assumptions, and named below. The table
is arithmetic; how long a burst takes is simulated second by second.
"""

import argparse
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

COSTS = Path(__file__).with_name("scaling_costs.json")
BEGIN, END = "<!-- scaling:begin -->", "<!-- scaling:end -->"
DAY = 86_400
MIB = 1024
ETCD_QUOTA_MIB = 2048
"""etcd's default for --quota-backend-bytes; its documentation advises against more than 8 GiB."""
OBJECT_KIB = 1536
"""etcd's default limit of one request (1.5 MiB)."""
MEMORY_LIMIT_MIB = 512
"""helm/batch-operator/values.yaml"""
MAX_INPUTS = 10_000
"""batch_operator.api.v1alpha1.batchjob"""
TOLD_SECONDS = 600.0
"""How old a place in line may be before people call it wrong; an assumption."""
DECIDED_SECONDS = 10.0
"""How long quota may lie free for want of a decision; an assumption."""
_SCHEDULER_SHARE = 0.2
"""A cycle takes a fifth of the time at most (docs/architecture.md)."""


@dataclass
class Costs:
    """By name: a value and where it comes from; the unit is the name's end."""

    found: dict[str, tuple[float, str]]

    def __getitem__(self, name: str) -> float:
        return self.found[name][0]

    def put(self, name: str, value: float, source: str) -> None:
        self.found[name] = (round(value, 3), source)

    def table(self) -> str:
        rows = [f"| {name} | {value:g} | {source} |" for name, (value, source) in sorted(self.found.items())]
        return "\n".join(["| cost | | from |", "| --- | --- | --- |", *rows])


def save(costs: Costs, path: Path) -> None:
    path.write_bytes(orjson.dumps(dict(sorted(costs.found.items())), option=orjson.OPT_INDENT_2) + b"\n")


def load(path: Path = COSTS) -> Costs:
    return Costs({name: (value, source) for name, (value, source) in orjson.loads(path.read_bytes()).items()})


@dataclass(frozen=True)
class Load:
    """What is assumed. All GPUs are busy."""

    nodes: int = 1_000
    gpus_per_node: int = 8
    jobs_a_day: int = 100_000
    pods_per_job: int = 1
    inputs_a_day: int = 1_000_000
    peak: float = 10.0
    """The busiest minutes over the day's mean."""
    waiting: int = 10_000
    kept_days: float = 1.0
    """How long jobs that have ended stay, with their pods and ConfigMaps."""
    big_jobs: int = 100
    """Running at a time, of MAX_INPUTS inputs each: a million inputs."""

    @property
    def running_pods(self) -> int:
        return self.nodes * self.gpus_per_node

    @property
    def jobs_a_second(self) -> float:
        return self.jobs_a_day / DAY * self.peak


@dataclass(frozen=True)
class Line:
    """One thing that can run out."""

    what: str
    asked: float
    most: float
    unit: str

    @property
    def times(self) -> float:
        """How many times this load would be too much."""
        return self.most / self.asked if self.asked else math.inf


def lines(load: Load, costs: Costs) -> list[Line]:
    """What breaks first comes first."""
    more = load.pods_per_job - 1
    progress = progress_writes(load, costs)
    reports = load.running_pods / costs["report_seconds"]
    cpu_ms = load.jobs_a_second * (costs["job_cpu_ms"] + more * costs["pod_cpu_ms"])
    cpu_ms += reports * costs["report_cpu_ms"]
    writes = load.jobs_a_second * (costs["job_all_writes"] + more * costs["pod_all_writes"])
    stored = costs["stored_job_kib"] + costs["stored_configmap_kib"] + load.pods_per_job * costs["stored_pod_kib"]
    reviews = load.running_pods / costs["review_holds_seconds"]
    found = [
        Line("etcd: jobs that have ended, their pods and ConfigMaps", kept_mib(load, stored), ETCD_QUOTA_MIB, "MiB"),
        Line("operator's CPU at the peak, jobs and reports", cpu_ms / 1000, 1.0, "core"),
        Line("API server's writes at the peak", writes + progress, costs["api_writes_per_second"], "a second"),
        Line("memory of the operator", memory_mib(load, costs), MEMORY_LIMIT_MIB, "MiB"),
        Line("TokenReviews of reporting pods", reviews, costs["reviews_per_second"], "a second"),
        Line("places in line, all told anew", load.waiting / costs["moves_per_second"], TOLD_SECONDS, "s"),
        Line("a decision of the scheduler", decision_seconds(load.waiting, costs), DECIDED_SECONDS, "s"),
        Line("one job of 10,000 inputs", costs["big_job_kib"] + costs["worst_ranges_kib"], OBJECT_KIB, "KiB"),
        Line("Lease", costs["lease_writes_per_second"], costs["api_writes_per_second"], "writes a second"),
    ]
    return sorted(found, key=lambda line: line.times)


def progress_writes(load: Load, costs: Costs) -> float:
    """A second. An input begins and ends; a job's status is written at most once in the interval."""
    changes = 2 * load.inputs_a_day / DAY * load.peak
    return min(changes, load.running_pods / load.pods_per_job / costs["progress_interval_seconds"])


def kept_mib(load: Load, stored_kib: float) -> float:
    return load.jobs_a_day * load.kept_days * stored_kib / MIB


def memory_mib(load: Load, costs: Costs) -> float:
    """A job that has ended holds what one holds that waits: its record, without inputs, and kopf's memory of it."""
    waiting_kib = (costs["queue_of_10000_rss_mib"] - costs["operator_rss_mib"]) * MIB / 10_000
    at_rest = load.waiting + load.jobs_a_day * load.kept_days
    held = at_rest * waiting_kib + load.running_pods / load.pods_per_job * costs["running_job_kib"]
    return costs["operator_rss_mib"] + held / MIB


def cycle_ms(waiting: int, costs: Costs) -> float:
    """Between the measured sizes, and past them, in proportion."""
    known = [(size, costs[f"cycle_{size}_ms"]) for size in (1_000, 10_000, 50_000)]
    below, above = next(((a, b) for a, b in zip(known, known[1:], strict=False) if waiting <= b[0]), known[-2:])
    slope = (above[1] - below[1]) / (above[0] - below[0])
    return max(below[1] + (waiting - below[0]) * slope, 0.0)


def decision_seconds(waiting: int, costs: Costs) -> float:
    """From a change to what follows of it, at the worst: it came as a cycle began."""
    return cycle_ms(waiting, costs) / 1000 * (1 / _SCHEDULER_SHARE + 1)


@dataclass(frozen=True)
class Drained:
    longest_wait: float
    most_waiting: float


def drain(arrivals: Iterable[float], capacity: float) -> Drained:
    """First come, first served: so many in each second, `capacity` a second done; seconds that the last of a second's
    arrivals waits, at most."""
    backlog = most = 0.0
    for new in arrivals:
        backlog = max(backlog + new - capacity, 0.0)
        most = max(most, backlog)
    return Drained(most / capacity, most)


def burst(load: Load, size: int) -> list[float]:
    """The mean of the day for an hour, with `size` jobs more within one minute of it."""
    mean = load.jobs_a_day / DAY
    return [mean + (size / 60 if 600 <= second < 660 else 0.0) for second in range(3600)]


def capacity(load: Load, costs: Costs) -> tuple[float, float]:
    """Jobs a second, by the operator's CPU (one core) and by the API server's writes."""
    more = load.pods_per_job - 1
    by_cpu = 1000 / (costs["job_cpu_ms"] + more * costs["pod_cpu_ms"])
    return by_cpu, costs["api_writes_per_second"] / (costs["job_all_writes"] + more * costs["pod_all_writes"])


def report(load: Load, costs: Costs) -> str:
    """The page's tables."""
    out = [
        f"{load.nodes:,} nodes of {load.gpus_per_node} GPUs, all busy; {load.jobs_a_day:,} jobs a day of "
        f"{load.pods_per_job} pod, {load.inputs_a_day:,} inputs; the peak {load.peak:g} times the mean; "
        f"{load.waiting:,} jobs wait; ended ones are kept for {load.kept_days:g} day.",
        "",
        "| what | asked | most | breaks at |",
        "| --- | --- | --- | --- |",
    ]
    for line in lines(load, costs):
        out.append(f"| {line.what} | {_words(line.asked)} | {_words(line.most)} {line.unit} | {_words(line.times)} × |")
    by_cpu, by_writes = capacity(load, costs)
    out += [
        "",
        "| jobs within a minute | the last waits for the operator's CPU | for the API server |",
        "| --- | --- | --- |",
    ]
    for size in (1_000, 10_000, 100_000):
        waits = [drain(burst(load, size), most).longest_wait for most in (by_cpu, by_writes)]
        out.append(f"| {size:,} | {waits[0]:,.0f} s | {waits[1]:,.0f} s |")
    return "\n".join([*out, "", *_facts(load, costs), "", costs.table()])


def _facts(load: Load, costs: Costs) -> list[str]:
    """What has no limit of its own."""
    reports = load.running_pods / costs["report_seconds"]
    known = load.jobs_a_day * load.kept_days + load.waiting
    rewritten = load.big_jobs / costs["progress_interval_seconds"] * costs["big_job_kib"] / MIB
    watched = load.jobs_a_second * (costs["job_watch_kib"] + (load.pods_per_job - 1) * costs["pod_watch_kib"]) / MIB
    return [
        f"- {reports:,.0f} reports a second take {reports * costs['report_cpu_ms'] / 1000:,.1f} cores.",
        f"- A new leader looks at {known:,.0f} jobs in {known * costs['restart_cpu_ms'] / 1000:,.0f} s of CPU time.",
        f"- {load.big_jobs} running jobs of {MAX_INPUTS:,} inputs, each with news in every interval: {rewritten:,.1f} "
        "MiB a second are written to etcd, and watched.",
        f"- Watches of jobs and pods bring {watched:,.2f} MiB a second at the peak.",
    ]


def _words(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:,.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scaling", description=__doc__)
    defaults = Load()
    parser.add_argument("--nodes", type=int, default=defaults.nodes)
    parser.add_argument("--jobs-a-day", type=int, default=defaults.jobs_a_day)
    parser.add_argument("--pods-per-job", type=int, default=defaults.pods_per_job)
    parser.add_argument("--inputs-a-day", type=int, default=defaults.inputs_a_day)
    parser.add_argument("--kept-days", type=float, default=defaults.kept_days)
    parser.add_argument("--waiting", type=int, default=defaults.waiting)
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put the tables into docs/scaling.md")
    chosen = vars(parser.parse_args())
    document = chosen.pop("write")
    text = report(replace(defaults, **chosen), load())
    if document is None:
        print(text)
    else:
        write(document, text)


def write(document: Path, text: str) -> None:
    """Between the markers of `document`. Raises LookupError where it has none."""
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise LookupError(f"{document} has no lines {BEGIN} and {END}, between which the tables go")
    document.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
