"""Records -> the tables of docs/performance.md, as Markdown. Pure. Called by __main__ and document."""

from collections.abc import Callable, Iterable, Sequence

from tests.bench.contenders.line_up import LINE_UP
from tests.bench.records import Record, of
from tests.bench.report import Range, as_ms, ranges, rows, shapes


def tables(records: Sequence[Record]) -> str:
    """All of it as Markdown, blank lines between."""
    parts = [_machine(records), _targets(records), *_throughputs(records), *_others(records)]
    return "\n\n".join(part for part in parts if part)


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])


def _machine(records: Sequence[Record]) -> str:
    found = of(records, "machine")
    if not found:
        return ""
    seen = found[-1]
    versions = ", ".join(f"{name} {version}" for name, version in seen["versions"].items())
    load = " ".join(str(value) for value in seen["load"])
    return (
        f"{seen['cores']} cores ({seen['processor']}), {seen['memory_gib']} GiB, {seen['kernel']}, load before {load}; "
        f"{versions}."
    )


def _targets(records: Sequence[Record]) -> str:
    body = [
        (row.name, row.measured, row.target, "yes" if row.held else "no") for row in rows(records) if row.was_measured
    ]
    return table(("", "measured", "target", "met"), body) if body else ""


def _throughputs(records: Sequence[Record]) -> list[str]:
    """Jobs/s for one pod a job, pods/s for more: median, and least to most of the rounds."""
    counts = shapes(records)
    if not counts:
        return []
    head = ["", *("jobs/s, 1 pod" if pods == 1 else f"pods/s, {pods} pods a job" for pods in counts)]
    cells = {pods: ranges(records, "pods_per_s", pods) for pods in counts}
    body = []
    for place in LINE_UP:
        if any(place.name in cells[pods] for pods in counts):
            body.append([place.name, *(_cell(cells[pods].get(place.name)) for pods in counts)])
    writes = of(records, "throughput", round=1, pods=1)
    costs = [[r["contender"], *_costs(r)] for p in LINE_UP for r in writes if r["contender"] == p.name]
    return [
        table(head, body),
        table(("one-pod jobs", "own writes a job", "Events a job", "reads", "CPU a job"), costs),
    ]


def _cell(found: Range | None) -> str:
    return found.words if found else ""


def _costs(record: Record) -> tuple[str, str, str, str]:
    """Pods without a name in the log are shared out evenly."""
    everything = record["writes"].get("all", [0, 0, 0])
    event = record["writes"].get("create events", [0, 0, 0])
    nameless = sum(record["other_writes"].values()) / record["jobs"]
    own = everything[1] - event[1] + nameless
    spread = "" if everything[0] == everything[2] else f" ({everything[0]} – {everything[2]} with Events)"
    cpu = f"{record['cpu_ms_per_job']:.1f} ms" if record["cpu_ms_per_job"] else "in the controller manager"
    reads = str(sum(record["reads"].values()))
    return f"{own:g}{spread}", f"{event[1]}", reads, cpu


def _others(records: Sequence[Record]) -> list[str]:
    parts = []
    if found := of(records, "idle"):
        idle = [
            (
                record["contender"],
                f"{as_ms(record['first_pod_p50'])}, {as_ms(record['first_pod_p99'])}",
                f"{as_ms(record['end_p50'])}, {as_ms(record['end_p99'])}",
            )
            for record in found
        ]
        parts.append(table(("idle, p50 and p99", "first pod after apply", "last pod done → end"), idle))
    if found := of(records, "churn"):
        body = [
            (
                f"{record['part']:.0%} of 0a: {record['rate']:.0f} jobs/s",
                record["contender"],
                f"{as_ms(record['first_pod_p50'])}, {as_ms(record['first_pod_p99'])}",
                f"{as_ms(record['whole_p50'])}, {as_ms(record['whole_p99'])}",
                f"{record['left_over_seconds']:.1f} s",
            )
            for record in found
        ]
        head = (
            "churn of 200 ms pods",
            "",
            "first pod, p50 and p99",
            "whole job, p50 and p99",
            "last submit → last end",
        )
        parts.append(table(head, body))
    said = [_SENTENCES[record["workload"]](record) for record in records if record["workload"] in _SENTENCES]
    return [*parts, "\n".join(said)]


def _calibration(r: Record) -> str:
    if r["of"] == "kwok":
        return f"- kwok alone: {r['pods_per_s']:.0f} bound pods/s until they have succeeded"
    return f"- the submitter alone: {r['jobs_per_s']:.0f} jobs/s"


def _queue(r: Record) -> str:
    return (
        f"- {r['jobs']} jobs in one Queue: all told that they wait after {r['queued_seconds']:.0f} s "
        f"({r['queueing_cpu_ms_per_job']:.1f} ms CPU each, {r['rss_mib']:.0f} MiB); with one slot "
        f"{r['ended_per_s']:.1f} jobs/s, {r['cpu_share']:.0%} of a core, {sum(r['writes_per_s'].values()):.0f} writes/s"
    )


def _restart(r: Record) -> str:
    return (
        f"- kill -9 at {r['rate']:.0f} jobs/s of 200 ms pods: first write after {r['first_write']:.1f} s, all jobs of "
        f"before ended after {r['caught_up']:.1f} s, {r['pods_made_twice']} jobs had a pod made twice"
    )


def _reporting(r: Record) -> str:
    answers = f"answers p50 {as_ms(r['answer_p50'])}, p99 {as_ms(r['answer_p99'])}"
    return (
        f"- {r['inputs']} inputs, {r['workers']} workers that report each second: {answers}, "
        f"{r['cpu_ms_per_report']:.2f} ms CPU a report, {r['status_writes']} status writes in {r['seconds']:.0f} s, "
        f"status whole {r['told_after']:.1f} s after the last report"
    )


_SENTENCES: dict[str, Callable[[Record], str]] = {
    "calibration": _calibration,
    "queue": _queue,
    "restart": _restart,
    "reporting": _reporting,
}
