"""What must hold of a queue, told from the API server's history alone: its quota [I10], its order [I11], its places.

The oracle's own reading of design section 3, sharing no code with scheduling. Used by invariants.

I10: whenever a pod is made, the living pods of its queue hold no more than the most that the quota was since the pod's
job was admitted. A lower quota evicts nobody.
I11: a job that has been in line for PATIENCE_SECONDS is not passed by one behind it in the key, where the other took
what it could have had: it asks for no more than the other; or it was the first, and its quota lay free all the time.
Who is before whom is judged where nothing but priority and age decides: of equal priority only within a namespace, and
not of jobs that were preempted twice, which rise.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from batch_operator.api import quantities, ranges
from batch_operator.api.v1alpha1.batch_queue import DEFAULT_QUEUE
from tests.fakes.clock import START
from tests.fakes.resource_types import BATCH_JOBS, PODS, PRIORITY_CLASSES, QUEUES, Object
from tests.fakes.watch_log import Commit
from tests.unit.faults.status_rules import parsed

PATIENCE_SECONDS = 60.0
"""An admission may come so late after its decision: a write that gets no answer is made again."""
EXACT = 10
"""Up to this place in line the written one is the place itself."""
RISES_AFTER = 2
TERMINAL_PHASES = ("Succeeded", "Failed")
_REFUSED = ("NamespaceQuota", "CreateRefused")
"""Reasons of Admitted=False of a job that holds quota: its pods are authorised, and the API server refuses them."""
Amounts = Counter[str]
IsGone = Callable[[str], bool]
"""Of a pod's uid: it is not to be counted."""


class QueueRules:
    """Hears every commit. `patience`: how long an operator may act on what has changed meanwhile. `decides_alone`
    False: another one admits jobs at the same time, and only how it ends is judged.
    """

    def __init__(self, patience: float = PATIENCE_SECONDS, *, decides_alone: bool = True) -> None:
        self._patience = patience
        self._decides_alone = decides_alone
        self._specs: dict[str, list[tuple[float, Object | None]]] = {}
        """By Queue: its spec from that second on; None: it was deleted."""
        self._classes: dict[str, int] = {}
        self._jobs: dict[str, Object] = {}
        self._pods: dict[str, tuple[str, str, Amounts]] = {}
        """Living ones by uid: the job's uid, the queue, what it holds."""
        self._admitted_at: dict[str, float] = {}
        self._in_line: dict[str, float] = {}
        self._freed: dict[str, float] = {}
        """By queue: when its quota or its pods last became other than they were."""

    def see(self, commit: Commit, is_gone: IsGone = lambda _: False) -> Iterator[str]:
        obj, uid = commit.object, commit.object["metadata"]["uid"]
        if commit.resource is QUEUES:
            known = self._specs.setdefault(commit.name, [])
            spec = None if commit.type == "DELETED" else obj.get("spec") or {}
            if not known or known[-1][1] != spec:
                known.append((commit.at, spec))
                self._freed[commit.name] = commit.at
                self._look_at_lines(commit.at)
        elif commit.resource is PRIORITY_CLASSES:
            self._classes[commit.name] = int(obj["value"])
        elif commit.resource is PODS and (owner := _owner(obj)):
            yield from self._pod(commit, owner, is_gone)
        elif commit.resource is BATCH_JOBS:
            old = self._jobs.get(uid)
            if commit.type == "DELETED":
                self._jobs.pop(uid, None)
                self._in_line.pop(uid, None)
                return
            self._jobs[uid] = obj
            if old is not None and _waits(old) and not _waits(obj) and not _has_ended(obj):
                yield from self._admitted(obj, commit.at, is_gone)
            elif old is not None and not _waits(old) and (_waits(obj) or _has_ended(obj)):
                self._freed[_queue(old)] = commit.at
            self._look_at(obj, commit.at)

    def end(self) -> Iterator[str]:
        """The places that are written when all is said: dense, unique, in order."""
        lines: dict[str, list[Object]] = {}
        for job in self._jobs.values():
            if self._stands(job):
                lines.setdefault(_queue(job), []).append(job)
            elif "queue_position" in _status(job):
                yield f"job {_name(job)} stands in no line, and has place {_status(job)['queue_position']}"
        for queue, jobs in lines.items():
            places = [int(_status(job).get("queue_position") or 0) for job in jobs]
            depths = {_status(job).get("queue_depth") for job in jobs}
            if len(jobs) > EXACT:
                continue
            if sorted(places) != list(range(1, len(jobs) + 1)):
                yield f"the places in queue {queue} are {places}"
            elif wrong := [
                f"{_name(one)} behind {_name(other)}"
                for one, at in zip(jobs, places, strict=True)
                for other, its in zip(jobs, places, strict=True)
                if at > its and self._is_before(one, other)
            ]:
                yield f"the places in queue {queue} are out of order: {', '.join(wrong)}"
            if depths != {len(jobs)}:
                yield f"{len(jobs)} jobs stand in queue {queue}, and its depth is said to be {depths}"

    # -- [I10]

    def _pod(self, commit: Commit, owner: str, is_gone: IsGone) -> Iterator[str]:
        pod, uid = commit.object, commit.object["metadata"]["uid"]
        if commit.type == "DELETED" or (pod.get("status") or {}).get("phase") in TERMINAL_PHASES:
            if (known := self._pods.pop(uid, None)) is not None:
                self._freed[known[1]] = commit.at
                if owner in self._jobs:
                    self._look_at(self._jobs[owner], commit.at)
        elif commit.type == "ADDED" and owner in self._jobs:
            queue = _queue(self._jobs[owner])
            self._pods[uid] = (owner, queue, _pod_needs(pod))
            self._in_line.pop(owner, None)
            if self._decides_alone and not is_gone(uid):
                yield from self._over_quota(queue, self._admitted_at.get(owner, commit.at), is_gone)

    def _over_quota(self, queue: str, admitted_at: float, is_gone: IsGone) -> Iterator[str]:
        most_of = self._most(queue, admitted_at - self._patience)
        if not most_of:
            return
        used = _sum(needs for uid, (_, name, needs) in self._pods.items() if name == queue and not is_gone(uid))
        for resource, most in most_of.items():
            if used[resource] > most:
                words = f"{used[resource] / 1000:g} of the {most / 1000:g} {resource} of its quota"
                yield f"the pods of queue {queue} hold {words}"

    def _most(self, queue: str, since: float) -> dict[str, int]:
        """Of each resource that was limited all the time: the most that the quota was."""
        known = [(0.0, None), *self._specs.get(queue, [])]
        before = max(place for place, (at, _) in enumerate(known) if at <= max(since, 0.0))
        specs = [spec for _, spec in known[before:]]
        if queue == DEFAULT_QUEUE and None in specs:
            return {}
        quotas = [_quota(spec) for spec in specs if spec is not None]
        limited = set(quotas[0]).intersection(*quotas[1:]) if quotas else set()
        return {resource: max(quota[resource] for quota in quotas) for resource in sorted(limited)}

    # -- [I11]

    def _admitted(self, job: Object, at: float, is_gone: IsGone) -> Iterator[str]:
        uid, queue = job["metadata"]["uid"], _queue(job)
        self._admitted_at[uid] = at
        self._in_line.pop(uid, None)
        if not self._decides_alone:
            return
        specs = self._specs.get(queue, [])
        lately = [spec for (_, spec), until in zip(specs, _ends(specs), strict=True) if until >= at - self._patience]
        if queue != DEFAULT_QUEUE and not any(spec is not None for spec in lately):
            yield f"job {_name(job)} was admitted by queue {queue}, which is not there"
        if lately and all(spec is not None and spec.get("stop", "None") != "None" for spec in lately):
            yield f"job {_name(job)} was admitted by queue {queue}, which is stopped"
        quota = self._quota_now(queue)
        if quota is None:
            return
        got = _limited(_asks(job), quota)
        free = Counter(quota)
        free.subtract(self._held(queue, is_gone))
        first = self._first_in(queue)
        for other in self._patient(queue, at):
            asked = _limited(_asks(other), quota)
            if not self._is_before(other, job) or _fits(asked, free):
                continue
            had_room = _fits(asked, _plus(free, got))
            idle = at - self._freed.get(queue, 0.0) >= self._patience
            if _fits(asked, got) or (other is first and had_room and idle):
                yield f"job {_name(job)} was admitted by queue {queue} past {_name(other)}, which is before it"

    def _patient(self, queue: str, at: float) -> Iterator[Object]:
        """Who has been in line for long enough."""
        for uid, since in self._in_line.items():
            job = self._jobs[uid]
            if _queue(job) == queue and at - max(since, _not_before(job)) >= self._patience:
                yield job

    def _first_in(self, queue: str) -> Object | None:
        """The one that nobody is before; None where that is more than priority and age."""
        line = [self._jobs[uid] for uid in self._in_line if _queue(self._jobs[uid]) == queue]
        return next((j for j in line if all(j is other or self._is_before(j, other) for other in line)), None)

    def _held(self, queue: str, is_gone: IsGone) -> Amounts:
        """By all jobs of the queue: living pods, or what status authorises, whichever is more."""
        pods: dict[str, Amounts] = {}
        for uid, (owner, name, needs) in self._pods.items():
            if name == queue and not is_gone(uid):
                pods.setdefault(owner, Counter()).update(needs)
        for uid, job in self._jobs.items():
            if _queue(job) == queue and _status(job) and not _waits(job) and not _has_ended(job):
                pods[uid] = pods.get(uid, Counter()) | _authorised(job)
        return _sum(pods.values())

    def _is_before(self, one: Object, other: Object) -> bool:
        ranks = self._rank(one), self._rank(other)
        if ranks[0] is None or ranks[1] is None:
            return False
        if ranks[0] != ranks[1]:
            return ranks[0] > ranks[1]
        alike = one["metadata"]["namespace"] == other["metadata"]["namespace"]
        return alike and _queued_at(one) < _queued_at(other)

    def _rank(self, job: Object) -> int | None:
        status = _status(job)
        risen = status.get("preemption_count", 0) - (status.get("ledger") or {}).get("preemption_base", 0)
        name = job["spec"].get("priority_class_name") or ""
        return None if risen >= RISES_AFTER else self._classes.get(name, None if name else 0)

    # -- who is in line

    def _look_at_lines(self, at: float) -> None:
        for job in self._jobs.values():
            self._look_at(job, at)

    def _look_at(self, job: Object, at: float) -> None:
        """In line since when."""
        uid, spec = job["metadata"]["uid"], self._spec_now(_queue(job))
        if self._stands(job) and (spec or {}).get("stop", "None") == "None":
            self._in_line.setdefault(uid, at)
        else:
            self._in_line.pop(uid, None)

    def _stands(self, job: Object) -> bool:
        """It could be admitted; the line of a stopped queue does not move, but it stands."""
        ledger = _status(job).get("ledger") or {}
        if not _status(job) or not _waits(job) or job["spec"].get("suspend") or ledger.get("stopping"):
            return False
        queue, uid = _queue(job), job["metadata"]["uid"]
        quota, spec = self._quota_now(queue), self._spec_now(queue) or {}
        if quota is None or not _asks(job) or any(owner == uid for owner, _, _ in self._pods.values()):
            return False
        return spec.get("stop", "None") != "None" or _fits(_limited(_asks(job), quota), quota)

    def _spec_now(self, queue: str) -> Object | None:
        known = self._specs.get(queue)
        return known[-1][1] if known else None

    def _quota_now(self, queue: str) -> dict[str, int] | None:
        """None: there is no such queue."""
        spec = self._spec_now(queue)
        if spec is None:
            return {} if queue == DEFAULT_QUEUE else None
        return _quota(spec)


# -- reading objects


def _status(job: Object) -> dict[str, Any]:
    return job.get("status") or {}


def _name(job: Object) -> str:
    return str(job["metadata"]["name"])


def _queue(job: Object) -> str:
    return str(job["spec"].get("queue") or DEFAULT_QUEUE)


def _waits(job: Object) -> bool:
    """New, PENDING or PREEMPTED, and no pods are authorised."""
    status = _status(job)
    if status.get("status") not in (None, "PENDING", "PREEMPTED"):
        return False
    return not any(c["type"] == "Admitted" and c["reason"] in _REFUSED for c in status.get("conditions") or ())


def _has_ended(job: Object) -> bool:
    return _status(job).get("status") in ("COMPLETED", "FAILED", "CANCELLED")


def _queued_at(job: Object) -> float:
    admission = (_status(job).get("ledger") or {}).get("admission") or {}
    return _second(admission.get("queued_at") or job["metadata"]["creationTimestamp"])


def _not_before(job: Object) -> float:
    """The end of its last back-off, or the start of the world."""
    ledger = _status(job).get("ledger") or {}
    moments = [ledger.get("next_admission")]
    for component in (ledger.get("components") or {}).values():
        moments += (component.get("next_retry") or {}).values()
    return max((_second(moment) for moment in moments if moment), default=0.0)


def _second(moment: str) -> float:
    return (parsed(moment) - START).total_seconds()


def _asks(job: Object) -> Amounts:
    """What the next round asks for, as status has it."""
    admission = (_status(job).get("ledger") or {}).get("admission") or {}
    asked: Amounts = Counter()
    for podset in (admission.get("pods") or {}).values():
        asked.update(_times(_amounts(podset.get("requests") or {}), podset["count"]))
    return asked


def _authorised(job: Object) -> Amounts:
    """Of the round that runs, what has not ended."""
    ledger = _status(job).get("ledger") or {}
    pods = (ledger.get("admission") or {}).get("pods") or {}
    result: Amounts = Counter()
    for name, component in (ledger.get("components") or {}).items():
        open_indexes = component["parallelism"] - len(ranges.parse(component.get("succeeded_indexes") or ""))
        result.update(_times(_amounts((pods.get(name) or {}).get("requests") or {}), open_indexes))
    return result


def _pod_needs(pod: Object) -> Amounts:
    needs = _amounts({})
    for container in pod["spec"]["containers"]:
        resources = container.get("resources") or {}
        needs.update(_amounts((resources.get("limits") or {}) | (resources.get("requests") or {}), pods=0))
    return needs


def _amounts(written: Mapping[str, Any], *, pods: int = 1) -> Amounts:
    """Thousandths, and the pod itself."""
    amounts = Counter({resource: quantities.parse(amount) for resource, amount in written.items()})
    amounts["pods"] += 1000 * pods
    return amounts


def _quota(spec: Object) -> dict[str, int]:
    return {resource: quantities.parse(amount) for resource, amount in (spec.get("quota") or {}).items()}


def _times(amounts: Amounts, count: int) -> Amounts:
    return Counter({resource: amount * count for resource, amount in amounts.items()})


def _sum(amounts: Any) -> Amounts:
    total: Amounts = Counter()
    for one in amounts:
        total.update(one)
    return total


def _plus(one: Amounts, other: Amounts) -> Amounts:
    """Also where less than nothing is left."""
    total = Counter(one)
    total.update(other)
    return total


def _limited(amounts: Amounts, quota: Mapping[str, int]) -> Amounts:
    return Counter({resource: amounts[resource] for resource in quota})


def _fits(asked: Amounts, free: Mapping[str, int]) -> bool:
    return all(amount <= free.get(resource, 0) for resource, amount in asked.items() if amount)


def _ends(specs: list[tuple[float, Object | None]]) -> list[float]:
    """Until when each of them was in force."""
    return [at for at, _ in specs[1:]] + [float("inf")] * bool(specs)


def _owner(pod: Object) -> str:
    return next((o["uid"] for o in pod["metadata"].get("ownerReferences") or () if o.get("controller")), "")
