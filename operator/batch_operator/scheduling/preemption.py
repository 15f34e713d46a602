"""Which admitted jobs give way to one of higher priority.

Taken in the order lowest priority, newest admitted, until the job fits; then, the dearest first, those are put back
without which it fits as well, or for which a smaller one of the same priority does. What remains is minimal: without
any one of them the job does not fit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from batch_operator.scheduling.observed import Holder
from batch_operator.scheduling.shares import Needs


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A job that may have to give way."""

    level: int
    """Its effective priority."""
    holder: Holder
    needs: Needs

    def gives(self, places: Sequence[int]) -> list[int]:
        mine = dict(self.needs)
        return [mine.get(place, 0) for place in places]


def choose(needs: Needs, available: Sequence[int], candidates: Iterable[Candidate]) -> list[Candidate]:
    """The victims; empty where all candidates together are not enough. `candidates`: the cheapest first.

    `available`: what is or comes free anyhow, by place in the quota; it may be negative.
    """
    places = [place for place, amount in needs if amount > available[place]]
    over = [available[place] - amount for place, amount in needs if amount > available[place]]
    """What would be left; less than zero: it lacks."""
    rest = iter(candidates)
    chosen: list[tuple[Candidate, list[int]]] = []
    while min(over, default=0) < 0:
        candidate = next(rest, None)
        if candidate is None:
            return []
        gives = candidate.gives(places)
        if any(gives):
            chosen.append((candidate, gives))
            over = _plus(over, gives)
    needed: list[tuple[Candidate, list[int]]] = []
    for candidate, gives in chosen[::-1]:
        if _covers(over, gives):
            over = _minus(over, gives)
        else:
            needed.append((candidate, gives))
    if not any(over):
        return [candidate for candidate, _ in needed]
    taken = {id(candidate) for candidate, _ in needed}
    others = [pair for pair in chosen if id(pair[0]) not in taken]
    dearest = needed[0][0].level
    others += [(c, c.gives(places)) for c in takewhile(lambda c: c.level <= dearest, rest)]
    return _smaller(needed, others, over)


def _smaller(
    needed: list[tuple[Candidate, list[int]]], others: list[tuple[Candidate, list[int]]], over: list[int]
) -> list[Candidate]:
    """In place of each, the smallest of its equals that is enough."""
    result = []
    for candidate, gives in needed:
        spare = _minus(over, gives)
        best, least = candidate, gives
        for other, its in others:
            less = sum(its) < sum(least) and _covers(gives, its)
            if less and other.level == candidate.level and any(its) and min(_plus(spare, its)) >= 0:
                best, least = other, its
        if best is not candidate:
            others = [(c, its) for c, its in others if c is not best]
            over = _plus(spare, least)
        result.append(best)
    return result


def _covers(whole: Sequence[int], part: Sequence[int]) -> bool:
    return all(amount <= of for amount, of in zip(part, whole, strict=True))


def _plus(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]


def _minus(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return [a - b for a, b in zip(one, other, strict=True)]
