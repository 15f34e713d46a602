"""Rounds: a component's indexes, their attempts, what they wait for, and how inputs are shared out among them.

A round begins with each admission that is not just the end of a back-off: the inputs that are still open are shared
out anew, over as many pods as there is work for. Within a round an index keeps its block, so that a replacement
takes up what its predecessor left. Called by reconcile; docs/architecture.md tells it in words.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from batch_operator.api import index_counts, ranges
from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batchjob import ComponentLedger
from batch_operator.policies import inputs
from batch_operator.snapshot import PodRecord

Pods = Mapping[tuple[str, int], PodRecord]
"""The pods of the current attempts, by component and index."""
WHOLE_JOB = "Job"
FEW = 32
"""Pods; the indexes of larger components are seldom alike, and large once read."""
_NONE = (None,) * 4
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Round:
    """One component's ledger, read. Never changed in place."""

    parallelism: int
    inputs: frozenset[int] | None = None
    attempt: int = 0
    attempts: Mapping[int, int] = field(default_factory=dict)
    observed: frozenset[int] = frozenset()
    succeeded: frozenset[int] = frozenset()
    failures: Mapping[int, int] = field(default_factory=dict)
    unstarted: Mapping[int, int] = field(default_factory=dict)
    next_retry: Mapping[int, datetime] = field(default_factory=dict)
    slow_since: Mapping[int, datetime] = field(default_factory=dict)

    @classmethod
    def read(cls, ledger: ComponentLedger) -> "Round":
        """Raises ValueError where somebody else has written it."""
        observed, succeeded = ledger.observed_indexes or "", ledger.succeeded_indexes or ""
        troubles = (ledger.inputs, ledger.attempts, ledger.failures, ledger.unstarted)
        few = ledger.parallelism <= FEW
        if few and troubles == _NONE and not (ledger.next_retry or ledger.slow_since):
            return _untroubled(ledger.parallelism, ledger.attempt or 0, observed, succeeded)
        return cls(
            parallelism=ledger.parallelism,
            inputs=None if ledger.inputs is None else ranges.parse(ledger.inputs),
            attempt=ledger.attempt or 0,
            attempts=index_counts.parse(ledger.attempts),
            observed=ranges.parse(observed),
            succeeded=ranges.parse(succeeded),
            failures=index_counts.parse(ledger.failures),
            unstarted=index_counts.parse(ledger.unstarted),
            next_retry={int(index): when for index, when in (ledger.next_retry or {}).items()},
            slow_since={int(index): when for index, when in (ledger.slow_since or {}).items()},
        )

    def written(self) -> ComponentLedger:
        return ComponentLedger(
            parallelism=self.parallelism,
            inputs=None if self.inputs is None else ranges.format_ranges(self.inputs),
            attempt=self.attempt or None,
            attempts=index_counts.format_counts(self.attempts),
            observed_indexes=ranges.format_ranges(self.observed) or None,
            succeeded_indexes=ranges.format_ranges(self.succeeded) or None,
            failures=index_counts.format_counts(self.failures),
            unstarted=index_counts.format_counts(self.unstarted),
            next_retry={str(i): when for i, when in sorted(self.next_retry.items())} or None,
            slow_since={str(i): when for i, when in sorted(self.slow_since.items())} or None,
        )

    def attempt_of(self, index: int) -> int:
        return self.attempts.get(index, self.attempt)

    @property
    def next_attempt(self) -> int:
        """One that no pod of the component ever had."""
        used = [self.attempt_of(i) + (i in self.observed) for i in range(self.parallelism)]
        return max([self.attempt, *used])

    @property
    def unused_attempt(self) -> int:
        """Likewise, also where an operator before this one did not note which pods it saw."""
        return max([self.attempt, *(self.attempt_of(i) for i in range(self.parallelism))]) + 1

    def replaced(self, index: int) -> "Round":
        """The index's pod is lost: the next one is another attempt, of which nothing is known yet."""
        return replace(
            self,
            attempts={**self.attempts, index: self.attempt_of(index) + 1},
            observed=self.observed - {index},
            slow_since=without(self.slow_since, index),
            next_retry=without(self.next_retry, index),
        )

    def blocks(self, numbers: Collection[int] | None) -> list[tuple[int, ...]]:
        """The block of each index; `numbers`: the component's inputs, None where it has no tracked port."""
        if numbers is None:
            return [()] * self.parallelism
        shared = sorted(numbers if self.inputs is None else self.inputs & set(numbers))
        return inputs.blocks(shared, self.parallelism)

    @property
    def open_indexes(self) -> tuple[int, ...]:
        return tuple(index for index in range(self.parallelism) if index not in self.succeeded)


@lru_cache(maxsize=1024)
def _untroubled(parallelism: int, attempt: int, observed: str, succeeded: str) -> Round:
    """Most jobs' rounds are one of a few, and each is read several times a pass."""
    return Round(parallelism, attempt=attempt, observed=ranges.parse(observed), succeeded=ranges.parse(succeeded))


def without(numbers: Mapping[int, T], index: int) -> dict[int, T]:
    return {key: value for key, value in numbers.items() if key != index}


def read(components: Mapping[str, ComponentLedger] | None) -> dict[str, Round]:
    return {name: Round.read(ledger) for name, ledger in (components or {}).items()}


def written(rounds: Mapping[str, Round]) -> dict[str, ComponentLedger]:
    return {name: known.written() for name, known in rounds.items()}


def current_pods(pods: Iterable[PodRecord], rounds: Mapping[str, Round]) -> dict[tuple[str, int], PodRecord]:
    """Pods that status authorises; one that somebody else hung on the job counts for nothing."""
    return {
        (p.component, p.index): p
        for p in pods
        if p.component in rounds
        and 0 <= p.index < rounds[p.component].parallelism
        and p.attempt == rounds[p.component].attempt_of(p.index)
    }


def superseded(pods: Iterable[PodRecord], rounds: Mapping[str, Round]) -> list[PodRecord]:
    """Pods of earlier attempts that still exist alive: their node was gone, and came back."""
    return [
        p
        for p in pods
        if p.component in rounds
        and not (p.deleted or p.is_terminal or p.deleting)
        and 0 <= p.attempt < rounds[p.component].attempt_of(p.index)
    ]


def observed(rounds: Mapping[str, Round], pods: Pods) -> dict[str, Round]:
    """With every pod noted that is there: what is noted and missing later was deleted by somebody else. Its back-off
    is over."""
    result = {}
    for name, known in rounds.items():
        there = {index for component, index in pods if component == name}
        waiting = {index: when for index, when in known.next_retry.items() if index not in there}
        result[name] = replace(known, observed=known.observed | there, next_retry=waiting)
    return result


def settled(file: JobFile, rounds: Mapping[str, Round], pods: Pods, ended: Collection[int]) -> dict[str, Round]:
    """With every index noted as succeeded whose inputs have all ended and whose pod lives no more, also where the
    pod itself is forgotten."""
    result = {}
    for name, known in rounds.items():
        blocks = known.blocks(file.numbers.get(name))
        done = {
            index
            for index in known.open_indexes
            if blocks[index]
            and all(number in ended for number in blocks[index])
            and not ((pod := pods.get((name, index))) and pod.is_live)
        }
        result[name] = replace(known, succeeded=known.succeeded | done) if done else known
    return result


def reopened(rounds: Mapping[str, Round]) -> dict[str, Round]:
    """A retry request: limits count anew, and what the earlier pods said of their inputs is over."""
    return {
        name: Round(known.parallelism, known.inputs, known.unused_attempt, succeeded=known.succeeded)
        for name, known in rounds.items()
    }


def next_round(file: JobFile, rounds: Mapping[str, Round], ended: Collection[int]) -> dict[str, Round]:
    """The open inputs shared out anew, every index at an attempt that was never used.

    A block inherits the highest counts of the indexes that its inputs come from, so that no input escapes its limit
    by being dealt to another index.
    """
    return {name: _next(file, name, known, ended) for name, known in rounds.items()}


def _next(file: JobFile, name: str, known: Round, ended: Collection[int]) -> Round:
    attempt = known.next_attempt
    numbers = file.numbers.get(name)
    if numbers is None:
        all_or_nothing = scope(file, name) == WHOLE_JOB and known.open_indexes
        return Round(
            parallelism=known.parallelism,
            attempt=attempt,
            succeeded=frozenset() if all_or_nothing else known.succeeded,
            failures=known.failures,
            unstarted=known.unstarted,
        )
    still_open = frozenset(numbers) - frozenset(ended)
    begun = Round(
        parallelism=min(file.parallelism(name), len(still_open)),
        inputs=None if len(still_open) == len(numbers) else still_open,
        attempt=attempt,
    )
    origin = {number: index for index, block in enumerate(known.blocks(numbers)) for number in block}
    blocks = begun.blocks(numbers)
    return replace(
        begun,
        failures=_inherited(known.failures, blocks, origin),
        unstarted=_inherited(known.unstarted, blocks, origin),
    )


def _inherited(counts: Mapping[int, int], blocks: Iterable[Iterable[int]], origin: Mapping[int, int]) -> dict[int, int]:
    found = {
        index: max((counts.get(origin[number], 0) for number in block if number in origin), default=0)
        for index, block in enumerate(blocks)
    }
    return {index: count for index, count in found.items() if count}


def scope(file: JobFile, component: str) -> str:
    """Index or Job: what starts again after one of the component's pods is lost."""
    given = file.components[component].restart_scope
    return given or (WHOLE_JOB if file.document["pipeline_type"] == "training" else "Index")


def started(rounds: Mapping[str, Round], pods: Pods) -> set[tuple[str, int]]:
    """The open indexes whose pods have started; they may have ended since."""
    return {
        (name, i)
        for name, known in rounds.items()
        for i in known.open_indexes
        if (pod := pods.get((name, i))) is not None and pod.started_at is not None
    }


def has_started(file: JobFile, rounds: Mapping[str, Round], pods: Pods) -> bool:
    """Scope Job: every index has; scope Index: some pod of each component has (design section 3).

    `rounds`: as status has them, so that a pod counts that ends before anybody saw it run.
    """
    found = Counter(name for name, _ in started(rounds, pods))
    wanted = {name: len(known.open_indexes) for name, known in rounds.items()}
    return all(
        found[name] >= (count if scope(file, name) == WHOLE_JOB else min(count, 1)) for name, count in wanted.items()
    )


def waits(rounds: Mapping[str, Round], now: datetime) -> list[datetime]:
    """When indexes in back-off may go on, soonest first; only moments to come."""
    return sorted(when for known in rounds.values() for when in known.next_retry.values() if when > now)
