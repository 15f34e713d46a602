"""Which admitted jobs give way to one of higher priority.

Taken in the order lowest priority, newest admitted, until the job fits; then, the dearest first, those are put back
without which it fits as well, or for which a smaller one of the same priority does. What remains is minimal: without
any one of them the job does not fit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batch_operator.scheduling.observed import Holder
from batch_operator.scheduling.shares import Needs


@dataclass(frozen=True, slots=True)
class Candidate:
    """A job that may have to give way."""

    level: int
    """Its effective priority."""
    holder: Holder
    needs: Needs


def choose(needs: Needs, available: Sequence[int], candidates: Iterable[Candidate]) -> list[Candidate]:
    """The victims; empty where all candidates together are not enough. `candidates`: the cheapest first.

    `available`: what is or comes free anyhow, by place in the quota; it may be negative.
    """
    lacking = {place: amount - available[place] for place, amount in needs if amount > available[place]}
    able = [c for c in candidates if any(place in lacking for place, _ in c.needs)]
    chosen: list[Candidate] = []
    for candidate in able:
        if _enough(chosen, lacking):
            break
        chosen.append(candidate)
    if not _enough(chosen, lacking):
        return []
    for candidate in chosen[::-1]:
        others = [c for c in chosen if c is not candidate]
        if _enough(others, lacking):
            chosen = others
    for candidate in chosen[::-1]:
        others = [c for c in chosen if c is not candidate]
        smaller = (c for c in able if c.level == candidate.level and c not in chosen and _less(c, candidate, lacking))
        best = min(
            (c for c in smaller if _enough([*others, c], lacking)),
            key=lambda c: sum(_gives(c, lacking).values()),
            default=None,
        )
        if best is not None:
            chosen = [*others, best]
    return chosen


def _gives(candidate: Candidate, lacking: dict[int, int]) -> dict[int, int]:
    return {place: amount for place, amount in candidate.needs if place in lacking}


def _enough(chosen: Iterable[Candidate], lacking: dict[int, int]) -> bool:
    freed = dict.fromkeys(lacking, 0)
    for candidate in chosen:
        for place, amount in _gives(candidate, lacking).items():
            freed[place] += amount
    return all(freed[place] >= amount for place, amount in lacking.items())


def _less(one: Candidate, other: Candidate, lacking: dict[int, int]) -> bool:
    """Nowhere more, and somewhere less."""
    mine, its = _gives(one, lacking), _gives(other, lacking)
    return mine != its and all(amount <= its.get(place, 0) for place, amount in mine.items())
