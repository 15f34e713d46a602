"""A namespace's weighted dominant share: its largest fraction of any resource of the quota, over its weight."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import inf

from batch_operator.scheduling.observed import WaitingJob

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

    def needs_of(self, job: WaitingJob) -> Needs:
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

    def growth(self, namespace: str, used: Sequence[int], jobs: Sequence[WaitingJob]) -> tuple[list[float], list[int]]:
        """The share before each of `jobs`, were they admitted one after the other; and what is used after all."""
        weight = self._weights.get(namespace, 1)
        vectors: dict[str, list[int]] = {}
        for job in {job.shape: job for job in jobs}.values():
            vectors[job.shape] = [0] * len(self._quota)
            for place, amount in self.needs_of(job):
                vectors[job.shape][place] = amount
        shares: list[list[float]] = []
        after: list[int] = []
        for place, quota in enumerate(self._quota):
            sums = list(accumulate([vectors[job.shape][place] for job in jobs], initial=used[place]))
            after.append(sums.pop())
            scale = quota * weight
            shares.append([amount / scale for amount in sums] if scale else [_share(amount, 0) for amount in sums])
        if not weight or not shares:
            return [0.0 if weight else inf] * len(jobs), after
        return shares[0] if len(shares) == 1 else list(map(max, *shares)), after


def _share(used: int, of: int) -> float:
    return used / of if of else inf if used else 0.0
