"""What a simulated week is judged by."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from tests.simulate.load import GPUS, PRIORITIES, WEIGHTS
from tests.simulate.world import World

HOUR = 3600.0
MOST_START_TIMEOUTS = 3
By = dict[tuple[int, str], float]


@dataclass
class Meter:
    """GPU-seconds by hour: in use, by namespace; asked for (in use or waited for), by priority and namespace."""

    until: float
    """Only the time in which jobs arrive counts: afterwards every cluster runs empty."""
    used: dict[int, dict[str, float]] = field(default_factory=dict)
    asked: dict[int, By] = field(default_factory=dict)

    def __call__(self, since: float, until: float, world: World) -> None:
        until = min(until, self.until)
        while since < until:
            hour = int(since // HOUR)
            end = min(until, (hour + 1) * HOUR)
            used = self.used.setdefault(hour, dict.fromkeys(WEIGHTS, 0.0))
            for namespace, gpus in world.busy.items():
                used[namespace] += gpus * (end - since)
            asked = self.asked.setdefault(hour, {})
            for key, gpus in world.wanted.items():
                asked[key] = asked.get(key, 0.0) + gpus * (end - since)
            since = end

    def utilisation(self) -> float:
        return sum(sum(hour.values()) for hour in self.used.values()) / (GPUS * self.until)

    def jain(self, due_of: Callable[[By, float], dict[str, float]]) -> float:
        """Jain's index of what each namespace got over what it was due, both summed over the hours. Of what was given
        out in an hour each is due its part by weight, but never more than it asked for."""
        got = dict.fromkeys(WEIGHTS, 0.0)
        due = dict.fromkeys(WEIGHTS, 0.0)
        for hour, used in self.used.items():
            fair = due_of(self.asked[hour], sum(used.values()))
            for namespace in WEIGHTS:
                got[namespace] += used[namespace]
                due[namespace] += fair[namespace]
        return index([got[namespace] / due[namespace] for namespace in WEIGHTS if due[namespace]])


def by_priority(asked: By, given: float) -> dict[str, float]:
    """What each is due by the queue's rule: who asks for more than its part gets it all the same where its jobs are of
    higher priority; among equals it is the weight that counts, and what they got for higher ones counts too."""
    due = dict.fromkeys(WEIGHTS, 0.0)
    for priority in sorted(PRIORITIES, reverse=True):
        most = {name: due[name] + asked.get((priority, name), 0.0) for name in WEIGHTS}
        due = fair_shares(most, WEIGHTS, given, due)
    return due


def by_weight(asked: By, given: float) -> dict[str, float]:
    """The same with no regard to priorities."""
    most = {name: sum(asked.get((priority, name), 0.0) for priority in PRIORITIES) for name in WEIGHTS}
    return fair_shares(most, WEIGHTS, given)


def fair_shares(
    most: Mapping[str, float], weights: Mapping[str, int], capacity: float, least: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Max-min fairness: all rise together, by weight, from `least` and up to `most`, until `capacity` is given out."""
    floor = least or dict.fromkeys(most, 0.0)
    if sum(most.values()) <= capacity:
        return dict(most)

    def at(height: float) -> dict[str, float]:
        return {name: min(most[name], max(floor[name], height * weights[name])) for name in most}

    low, high = 0.0, max(most[name] / weights[name] for name in most)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(at(middle).values()) < capacity else (low, middle)
    return at(high)


def index(parts: Sequence[float]) -> float:
    """Jain's: 1 where all are equal, 1/n where one has everything."""
    squares = sum(part**2 for part in parts)
    return sum(parts) ** 2 / (len(parts) * squares) if squares else 1.0


@dataclass(frozen=True)
class Figures:
    """Of one policy, one load, one seed. Waits in hours: all the time between arrival and end in which the job did not
    run; it may have been admitted, and without a place on a node."""

    utilisation: float
    useful: float
    """Utilisation without what was lost to preemption."""
    jain: float
    jain_by_weight: float
    """With no regard to priorities."""
    preemptions: float
    lost_hours: float
    """GPU-hours that were done twice, or in which pods only ended."""
    lost: float
    """The same as a part of all the work."""
    lost_if_nothing_kept: float
    start_timeouts: float
    given_up: float
    """Jobs with three start timeouts or more, which the operator fails; here they go on."""
    longest_wait: float
    waits: dict[str, tuple[float, float]]
    """p50 and p99, by size and by namespace."""


def judge(world: World, meter: Meter) -> Figures:
    runs = list(world.runs.values())
    unfinished = [run.arrival.uid for run in runs if run.ended_at is None]
    if unfinished:
        raise AssertionError(f"{len(unfinished)} jobs never ended, e.g. {unfinished[0]}")
    groups: dict[str, list[float]] = {}
    for run in runs:
        groups.setdefault(f"{run.arrival.gpus:>2} GPU", []).append(run.waited / HOUR)
        groups.setdefault(f"{run.arrival.namespace} ({WEIGHTS[run.arrival.namespace]})", []).append(run.waited / HOUR)
    asked = sum(run.arrival.gpus * run.arrival.seconds for run in runs)
    lost = sum(run.lost for run in runs)
    used = meter.utilisation()
    return Figures(
        utilisation=used,
        useful=used * asked / (asked + lost),
        jain=meter.jain(by_priority),
        jain_by_weight=meter.jain(by_weight),
        preemptions=sum(run.preemptions for run in runs),
        lost_hours=lost / HOUR,
        lost=lost / asked,
        lost_if_nothing_kept=sum(run.lost_if_nothing_kept for run in runs) / asked,
        start_timeouts=sum(run.start_timeouts for run in runs),
        given_up=sum(run.start_timeouts >= MOST_START_TIMEOUTS for run in runs),
        longest_wait=max(run.waited for run in runs) / HOUR,
        waits={name: (_quantile(waits, 0.5), _quantile(waits, 0.99)) for name, waits in sorted(groups.items())},
    )


def mean(several: Iterable[Figures]) -> Figures:
    """Over seeds."""
    figures = list(several)
    numbers = {
        name: fmean(getattr(one, name) for one in figures) for name in Figures.__dataclass_fields__ if name != "waits"
    }
    waits = {
        name: (fmean(one.waits[name][0] for one in figures), fmean(one.waits[name][1] for one in figures))
        for name in figures[0].waits
        if all(name in one.waits for one in figures)
    }
    return Figures(**numbers, waits=waits)


def _quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]
