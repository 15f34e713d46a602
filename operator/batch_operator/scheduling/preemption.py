"""Which admitted jobs give way to one of higher priority.

Taken in the order lowest priority, newest admitted, until the job fits; then, the dearest first, those are put back
without which it fits as well. What remains is minimal: without any one of them it does not fit.
"""

from collections.abc import Callable, Iterable, Sequence

from batch_operator.scheduling.observed import Holder
from batch_operator.scheduling.shares import Needs


def choose(
    needs: Needs, available: Sequence[int], candidates: Iterable[Holder], needs_of: Callable[[Holder], Needs]
) -> list[Holder]:
    """The victims; empty where all candidates together are not enough. `candidates`: the cheapest first.

    `available`: what is or comes free anyhow, by place in the quota; it may be negative.
    """
    lacking = {place: amount - available[place] for place, amount in needs if amount > available[place]}
    chosen: list[Holder] = []
    freed = dict.fromkeys(lacking, 0)
    for holder in candidates:
        if all(freed[place] >= amount for place, amount in lacking.items()):
            break
        gives = {place: amount for place, amount in needs_of(holder) if place in lacking}
        if any(freed[place] < lacking[place] for place in gives):
            chosen.append(holder)
            for place, amount in gives.items():
                freed[place] += amount
    if any(freed[place] < amount for place, amount in lacking.items()):
        return []
    for holder in chosen[::-1]:
        gives = {place: amount for place, amount in needs_of(holder) if place in lacking}
        if all(freed[place] - amount >= lacking[place] for place, amount in gives.items()):
            chosen.remove(holder)
            for place, amount in gives.items():
                freed[place] -= amount
    return chosen
