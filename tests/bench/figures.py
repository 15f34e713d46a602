"""From audit entries to figures: when each job was submitted, got its first pod, lost its last and ended, and what was
written for it. Pure. Used by runs and report.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from batch_operator.snapshot import RuleSettings
from tests.bench.audit import Entry
from tests.bench.contender import ACCOUNTS

SUBMITTER = f"system:serviceaccount:{ACCOUNTS}:submitter"
KWOK = "kwok"
_JOB = re.compile(r"job-\d{5}")
PLANNED_WRITES = 4
"""For a job, beside its pods and an Event: its ConfigMap; the patches that admit it, say that it runs, and end it."""
PROGRESS_SECONDS = RuleSettings().progress_interval.total_seconds()
ADMISSION_SECONDS = 1.0
"""From the status that admits a job, in whole seconds, until its first pod is there, at most."""


@dataclass
class JobTimes:
    """Seconds since the epoch; 0: it has not happened."""

    submitted: float = 0.0
    """The API server got the POST."""
    first_pod: float = 0.0
    """The first pod was committed."""
    last_pod: float = 0.0
    """… the last one."""
    pods_done: float = 0.0
    """kwok's last status of one of its pods was committed: that it succeeded."""
    ended: float = 0.0
    """Its last status was committed."""


@dataclass
class Seen:
    """What the audit log has of one run. `writes`: by job and kind ("create pods"); "" for no job's."""

    jobs: dict[str, JobTimes] = field(default_factory=dict)
    writes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    refused: Counter[str] = field(default_factory=Counter)
    """Own writes that did not hold, by kind and code."""
    reads: Counter[str] = field(default_factory=Counter)
    """Own GETs and LISTs between the first submit and the last end."""
    all_writes: Counter[str] = field(default_factory=Counter)
    """Everybody's, the submitter's included."""


def job_of(name: str) -> str:
    """The job that an object's name begins with; "" for none."""
    found = _JOB.match(name)
    return found.group() if found else ""


def observe(
    entries: Iterable[Entry],
    namespace: str,
    is_own: Callable[[Entry], bool],
    may_end: Callable[[Entry], bool],
) -> Seen:
    """One run's entries, in any order. Pods without a name (`generateName`) have a job only where one was submitted
    at a time: it is the one that was under way."""
    seen = Seen()
    nameless: list[Entry] = []
    reads: list[Entry] = []
    for entry in entries:
        own = is_own(entry)
        if own and entry.is_read:
            reads.append(entry)
        if entry.namespace != namespace or not entry.is_write:
            continue
        kind = f"{entry.verb} {entry.resource}"
        if not entry.held:
            if own:
                seen.refused[f"{kind}: {entry.code}"] += 1
            continue
        seen.all_writes[kind] += 1
        job = job_of(entry.name)
        if own:
            seen.writes[job][kind] += 1
        if not job:
            if kind == "create pods":
                nameless.append(entry)
            continue
        _note(seen.jobs.setdefault(job, JobTimes()), entry, kind, may_end(entry))
    _place(nameless, seen.jobs)
    began, ended = span(seen.jobs.values())
    seen.reads.update(f"{e.verb} {e.resource}" for e in reads if began <= e.received <= ended)
    return seen


def _note(times: JobTimes, entry: Entry, kind: str, ends: bool) -> None:
    if entry.user == SUBMITTER:
        times.submitted = entry.received
    elif kind == "create pods":
        times.first_pod = min(times.first_pod or entry.done, entry.done)
        times.last_pod = max(times.last_pod, entry.done)
    elif entry.resource == "pods/status" and KWOK in entry.agent:
        times.pods_done = max(times.pods_done, entry.done)
    if ends:
        times.ended = max(times.ended, entry.done)


def _place(nameless: Sequence[Entry], jobs: Mapping[str, JobTimes]) -> None:
    alone = sorted(jobs.values(), key=lambda times: times.submitted)
    if any(one.ended > other.submitted for one, other in zip(alone, alone[1:], strict=False)):
        return  # several at a time: nobody can say whose they are
    for entry in nameless:
        for times in alone:
            if times.submitted <= entry.received <= times.ended:
                times.first_pod = min(times.first_pod or entry.done, entry.done)
                times.last_pod = max(times.last_pod, entry.done)


def span(jobs: Iterable[JobTimes]) -> tuple[float, float]:
    """(first submit, last end); zeros where nothing was submitted or a job has not ended."""
    all_times = list(jobs)
    if not all_times or any(not times.ended or not times.submitted for times in all_times):
        return 0.0, 0.0
    return min(times.submitted for times in all_times), max(times.ended for times in all_times)


def nearest_rank(values: Iterable[float], part: float) -> float:
    """The least value that so large a part of them does not exceed; 0.0 of none."""
    ordered = sorted(values)
    return ordered[max(ceil(part * len(ordered)), 1) - 1] if ordered else 0.0


def above_pods(seen: Seen, pods: int) -> tuple[tuple[int, int, int], int]:
    """Writes for a job beside those of its pods and Events: ((least, median, most), how many of all are unexplained:
    beyond those planned, and one patch for each interval of progress that a job ran)."""
    found, unexplained = [], 0
    for job, counts in seen.writes.items():
        if not job:
            continue
        writes = sum(count for kind, count in counts.items() if kind != "create events") - pods
        times = seen.jobs[job]
        ran = times.ended - times.first_pod + ADMISSION_SECONDS
        found.append(writes)
        unexplained += max(writes - PLANNED_WRITES - int(ran / PROGRESS_SECONDS), 0)
    return _spread(found), unexplained


def spread(writes: Mapping[str, Mapping[str, int]]) -> dict[str, tuple[int, int, int]]:
    """(least, median, most) of each kind of write over the jobs, and of "all" together."""
    jobs = [counts for job, counts in writes.items() if job]
    kinds = sorted({kind for counts in jobs for kind in counts})
    table = {kind: [counts.get(kind, 0) for counts in jobs] for kind in kinds}
    table["all"] = [sum(counts.values()) for counts in jobs]
    return {kind: _spread(counts) for kind, counts in table.items() if counts}


def _spread(counts: Iterable[int]) -> tuple[int, int, int]:
    ordered = sorted(counts) or [0]
    return ordered[0], ordered[len(ordered) // 2], ordered[-1]
