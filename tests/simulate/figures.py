"""What a simulated week is judged by."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from tests.simulate.load import GPUS, WEIGHTS
from tests.simulate.world import World

HOUR = 3600.0


@dataclass
class Meter:
    """GPU-seconds by hour and namespace: asked for (held or waited for) and held."""

    until: float
    """Only the time in which jobs arrive counts: afterwards every cluster runs empty."""
    held: dict[int, dict[str, float]] = field(default_factory=dict)
    asked: dict[int, dict[str, float]] = field(default_factory=dict)

    def __call__(self, since: float, until: float, world: World) -> None:
        until = min(until, self.until)
        if until <= since:
            return
        held, waiting = _gpus(world, world.holders), _gpus(world, world.waiting)
        while since < until:
            hour = int(since // HOUR)
            span = min(until, (hour + 1) * HOUR) - since
            for namespace in WEIGHTS:
                _add(self.held, hour, namespace, held.get(namespace, 0) * span)
                _add(self.asked, hour, namespace, (held.get(namespace, 0) + waiting.get(namespace, 0)) * span)
            since = max(since + span, (hour + 1) * HOUR) if since + span >= (hour + 1) * HOUR else since + span

    def utilisation(self) -> float:
        return sum(sum(hour.values()) for hour in self.held.values()) / (GPUS * self.until)

    def jain(self) -> float:
        """Jain's index of what each namespace got, over what it was due: by hour, the max-min fair share by weight of
        what was given out at all, never more than it asked for."""
        got = dict.fromkeys(WEIGHTS, 0.0)
        due = dict.fromkeys(WEIGHTS, 0.0)
        for hour, held in self.held.items():
            fair = fair_shares(self.asked[hour], WEIGHTS, sum(held.values()))
            for namespace in WEIGHTS:
                got[namespace] += held[namespace]
                due[namespace] += fair[namespace]
        parts = [got[namespace] / due[namespace] for namespace in WEIGHTS if due[namespace]]
        return sum(parts) ** 2 / (len(parts) * sum(part**2 for part in parts))


def fair_shares(asked: Mapping[str, float], weights: Mapping[str, int], capacity: float) -> dict[str, float]:
    """Max-min fairness: who asks for less than its part gets it all, the others share the rest by weight."""
    result = dict.fromkeys(asked, 0.0)
    open_ones = dict(asked)
    while open_ones and capacity > 0:
        whole = sum(weights[name] for name in open_ones)
        content = {name: want for name, want in open_ones.items() if want <= capacity * weights[name] / whole}
        if not content:
            return result | {name: capacity * weights[name] / whole for name in open_ones}
        result |= content
        capacity -= sum(content.values())
        open_ones = {name: want for name, want in open_ones.items() if name not in content}
    return result


@dataclass(frozen=True)
class Figures:
    """Of one policy, one load, one seed. Waits in hours, over all the times that a job queued."""

    utilisation: float
    useful: float
    """Utilisation without what was lost to preemption."""
    jain: float
    preemptions: float
    lost: float
    """Part of the GPU time that was done twice."""
    lost_if_nothing_kept: float
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
        groups.setdefault(run.arrival.namespace, []).append(run.waited / HOUR)
    asked = sum(run.arrival.gpus * run.arrival.seconds for run in runs)
    lost = sum(run.lost for run in runs)
    used = meter.utilisation()
    return Figures(
        utilisation=used,
        useful=used * asked / (asked + lost),
        jain=meter.jain(),
        preemptions=sum(run.preemptions for run in runs),
        lost=lost / asked,
        lost_if_nothing_kept=sum(run.lost_if_nothing_kept for run in runs) / asked,
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


def _gpus(world: World, uids: Iterable[str]) -> dict[str, int]:
    result: dict[str, int] = {}
    for uid in uids:
        arrival = world.runs[uid].arrival
        result[arrival.namespace] = result.get(arrival.namespace, 0) + arrival.gpus
    return result


def _add(table: dict[int, dict[str, float]], hour: int, namespace: str, amount: float) -> None:
    row = table.setdefault(hour, dict.fromkeys(WEIGHTS, 0.0))
    row[namespace] += amount


def _quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]
