"""A namespace's weighted dominant share: its largest fraction of any resource of the quota, over its weight."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from math import inf

from batch_operator.scheduling.observed import Holder, Kind, WaitingJob

Needs = tuple[tuple[int, int], ...]
"""(place of the resource in the quota, amount): what of a request the quota limits."""


class Shares:
    """Grows while one cycle admits; a fresh one is made for each cycle."""

    def __init__(self, quota: Mapping[str, int], weights: Mapping[str, int]) -> None:
        self._quota = tuple(quota.values())
        self._places = {resource: place for place, resource in enumerate(quota)}
        self._weights = weights
        self._used: dict[str, list[int]] = {}
        self._shares: dict[str, float] = {}
        self._needs: dict[str, Needs] = {}

    def needs(self, request: Mapping[str, int]) -> Needs:
        return tuple((self._places[r], amount) for r, amount in request.items() if amount and r in self._places)

    def needs_of(self, job: WaitingJob | Holder) -> Needs:
        needs = self._needs.get(job.shape)
        if needs is None:
            needs = self._needs[job.shape] = self.needs(job.request)
        return needs

    def of(self, namespace: str) -> float:
        share = self._shares.get(namespace)
        return share if share is not None else 0.0 if self._weights.get(namespace, 1) else inf

    def used(self, namespace: str) -> Sequence[int]:
        """By place in the quota."""
        return self._used.get(namespace) or [0] * len(self._quota)

    def add(self, namespace: str, needs: Needs) -> None:
        used = self._used.setdefault(namespace, [0] * len(self._quota))
        for place, amount in needs:
            used[place] += amount
        weight = self._weights.get(namespace, 1)
        shares = (_share(amount, quota * weight) for amount, quota in zip(used, self._quota, strict=True))
        self._shares[namespace] = max(shares, default=0.0) if weight else inf

    def remove(self, namespace: str, needs: Needs) -> None:
        self.add(namespace, tuple((place, -amount) for place, amount in needs))

    def after(self, used: Sequence[int], kinds: Iterable[Kind]) -> list[int]:
        """What is used once all of them are admitted, by place in the quota."""
        after = list(used)
        for kind in kinds:
            for place, amount in self.needs_of(kind.first):
                after[place] += amount * len(kind.jobs)
        return after

    def growth(
        self, namespace: str, used: Sequence[int], kinds: Iterable[Kind], shapes: Sequence[str]
    ) -> Sequence[float]:
        """The share before each of the kinds' jobs, were they admitted one after the other; `shapes`: in that order."""
        weight = self._weights.get(namespace, 1)
        if not weight or not self._quota:
            return [0.0 if weight else inf] * len(shapes)
        vectors = {kind.first.shape: [0] * len(self._quota) for kind in kinds}
        for kind in kinds:
            for place, amount in self.needs_of(kind.first):
                vectors[kind.first.shape][place] = amount
        shares: list[list[float]] = []
        for place, quota in enumerate(self._quota):
            amounts = {shape: vector[place] for shape, vector in vectors.items()}
            sums = list(accumulate([amounts[shape] for shape in shapes], initial=used[place]))
            sums.pop()
            scale = quota * weight
            shares.append([amount / scale for amount in sums] if scale else [_share(amount, 0) for amount in sums])
        return shares[0] if len(shares) == 1 else list(map(max, *shares))


def _share(used: int, of: int) -> float:
    return used / of if of else inf if used else 0.0
