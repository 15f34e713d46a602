"""What the operator says of itself: the histogram of its scheduler's cycles, and its memory from /proc."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

FIRST = -15
CYCLES = "batch_operator_schedule_duration_seconds"


@dataclass(frozen=True, slots=True)
class Histogram:
    """`within`: observations by the upper bound of their bucket, smaller ones included."""

    count: int = 0
    seconds: float = 0.0
    within: Mapping[float, int] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str, name: str = CYCLES) -> Self:
        """Raises LookupError where the operator shows no such histogram."""
        family = next((f for f in text_string_to_metric_families(text) if f.name == name), None)
        if family is None:
            raise LookupError(f"/metrics shows no {name}")
        values = {(s.name.removeprefix(name), s.labels.get("le", "")): s.value for s in family.samples}
        within = {float(bound): int(value) for (kind, bound), value in values.items() if kind == "_bucket"}
        return cls(int(values[("_count", "")]), values[("_sum", "")], within)

    def since(self, before: "Histogram") -> "Histogram":
        within = {bound: count - before.within.get(bound, 0) for bound, count in self.within.items()}
        return Histogram(self.count - before.count, self.seconds - before.seconds, within)

    @property
    def mean(self) -> float:
        return self.seconds / self.count if self.count else 0.0

    def part_within(self, bound: float) -> float:
        return self.within[bound] / self.count if self.count else 1.0

    def quantile_bound(self, part: float) -> float:
        """The least bucket's bound that holds this part of them."""
        return min((bound for bound, count in self.within.items() if count >= part * self.count), default=0.0)


def go_first(pid: int) -> None:
    """The process, which leads a session, gets a core whenever it can use one: a time is to be its own, and not that of
    the control plane and the tests beside it. Without effect where the kernel or our rights do not allow it."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, FIRST)
        Path(f"/proc/{pid}/autogroup").write_text(str(FIRST))


@dataclass(frozen=True, slots=True)
class Processor:
    """Nanoseconds of a process's main thread: on a core, and waiting for one."""

    ran: int
    waited: int

    @classmethod
    def read(cls, pid: int) -> Self:
        ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
        return cls(int(ran), int(waited))

    def share_since(self, before: "Processor") -> float:
        """The part of the time in which it could have run that it did."""
        ran, waited = self.ran - before.ran, self.waited - before.waited
        return ran / (ran + waited) if ran else 1.0


def most_memory(pid: int) -> float:
    """MiB: the most that the process ever had resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024
