"""Which pods were really lost, told from the API server's history alone: what the counts in status must say.

The oracle's own reading of design section 2, sharing no code with policies.pod_outcome. Used by invariants.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from batch_operator.api import names, ranges
from tests.fakes.resource_types import BATCH_JOBS, CLUSTER_PIPELINES, NODES, PODS, Object
from tests.fakes.watch_log import Commit

TERMINAL_PHASES = ("Succeeded", "Failed")
BACKOFF_SECONDS = 10
"""Where the policy says nothing; each further failure of an index doubles it."""
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
Key = tuple[str, str, int]
"""Component, index, attempt; of a component that restarts as a whole the index is "", for its attempt is a round."""


@dataclass
class _Losses:
    """Of one job. `either`: pods that ended and were cleaned away, so that whoever was away cannot tell how."""

    failed: set[Key] = field(default_factory=set)
    preempted: set[Key] = field(default_factory=set)
    either: set[Key] = field(default_factory=set)
    unseen: set[Key] = field(default_factory=set)
    """Pods that were gone before status said that they were there: who was away then cannot know of them."""
    ended_at: dict[Key, float] = field(default_factory=dict)
    displaced: int = 0
    """How often its queue took its quota back, each a preemption however many pods it had."""
    requests: int = 0
    whole: bool = True
    """Nothing but losses has stopped it: no intent of ours, so that each loss must have been counted by its end."""


class Counting:
    """Hears every commit. `see` tells what is wrong with the counts of a status that was written."""

    def __init__(self) -> None:
        self._jobs: dict[str, Object] = {}
        self._pods: dict[str, Object] = {}
        self._losses: dict[str, _Losses] = {}
        self._judged: set[str] = set()
        self._asked_by_us: set[str] = set()
        self._scopes: dict[str, str] = {}

    def see(self, commit: Commit) -> Iterator[str]:
        obj, uid = commit.object, commit.object["metadata"]["uid"]
        if commit.resource is CLUSTER_PIPELINES:
            usual = "Job" if obj["spec"].get("type") == "training" else "Index"
            for name, component in obj["spec"].get("components", {}).items():
                self._scopes[name] = component.get("restart_scope", usual)
        elif commit.resource is NODES and (commit.type == "DELETED" or obj.get("spec", {}).get("taints")):
            for pod in list(self._pods.values()):
                if pod["spec"].get("nodeName") == commit.name and _is_live(pod):
                    self._note(pod, "preempted")
        elif commit.resource is PODS:
            if commit.type == "ADDED" and commit.actor.startswith("operator"):
                yield from self._too_soon(commit)
            self._pod(commit)
        elif commit.resource is BATCH_JOBS:
            yield from self._status(self._jobs.get(uid, {}).get("status") or {}, obj)
            self._jobs[uid] = obj

    def _too_soon(self, commit: Commit) -> Iterator[str]:
        """A pod that replaces one that failed waits for as long as the policy says, whatever status says."""
        component, index, attempt = _place(commit.object)
        lost = self._losses.get(_owner(commit.object), _Losses())
        ended = lost.ended_at.get((component, index, attempt - 1))
        if ended is None or not lost.whole or (component, index, attempt - 1) not in lost.failed:
            return
        policy = self._jobs[_owner(commit.object)]["spec"].get("policy") or {}
        failures = sum((component, index) == key[:2] for key in lost.failed)
        wait = policy.get("backoff_seconds", BACKOFF_SECONDS) * 2 ** (failures - 1)
        if commit.at - ended < wait - 1:  # times in status have whole seconds
            yield f"pod {commit.name} was made {commit.at - ended:.1f} s after its predecessor failed, not {wait}"

    def _pod(self, commit: Commit) -> None:
        pod, uid = commit.object, commit.object["metadata"]["uid"]
        if not _owner(pod):
            return
        asked = "deletionTimestamp" in self._pods.get(uid, pod)["metadata"]  # then ours only hastens it
        if commit.actor.startswith("operator") and commit.type != "ADDED" and not asked:
            self._asked_by_us.add(uid)
        ended = commit.type == "DELETED" or not _is_live(pod)
        if ended and uid not in self._judged:
            self._judged.add(uid)
            if uid not in self._asked_by_us and self._may_count(_owner(pod)) and not self._is_done(pod):
                self._note(pod, _verdict(pod, self._pods.get(uid, pod), gone=commit.type == "DELETED"), commit.at)
        elif commit.type == "DELETED" and uid not in self._asked_by_us and not self._is_told(pod):
            self._note(pod, "either")
        if commit.type == "DELETED":
            self._pods.pop(uid, None)
        else:
            self._pods[uid] = pod

    def _may_count(self, job_uid: str) -> bool:
        status = self._jobs.get(job_uid, {}).get("status") or {}
        return status.get("status") not in ENDED and not (status.get("ledger") or {}).get("stopping")

    def _is_done(self, pod: Object) -> bool:
        block = block_of(pod)
        ledger = (self._jobs.get(_owner(pod), {}).get("status") or {}).get("ledger") or {}
        ended = ranges.parse(ledger.get("completed_inputs", "")) | ranges.parse(ledger.get("failed_inputs", ""))
        return bool(block) and block <= ended | _last_word(pod)

    def _is_told(self, pod: Object) -> bool:
        """Its end stands in status."""
        component, index, _ = _place(pod)
        ledger = (self._jobs.get(_owner(pod), {}).get("status") or {}).get("ledger") or {}
        known = (ledger.get("components") or {}).get(component) or {}
        return int(index) in ranges.parse(known.get("succeeded_indexes") or "")

    def _note(self, pod: Object, what: str, at: float = 0.0) -> None:
        if not what:
            return
        component, index, attempt = _place(pod)
        key = ("", "", attempt) if self._scopes.get(component) == "Job" else (component, index, attempt)
        losses = self._losses.setdefault(_owner(pod), _Losses())
        getattr(losses, what).add(key)
        losses.ended_at[key] = at
        if not is_noted(pod, self._jobs.get(_owner(pod), {})):
            losses.unseen.add(key)

    def _status(self, old: Object, job: Object) -> Iterator[str]:
        new = job.get("status") or {}
        lost = self._losses.setdefault(job["metadata"]["uid"], _Losses())
        if _handled(old) != _handled(new) and new.get("status") == "PENDING" and old.get("status") in ENDED:
            lost.requests += 1
        lost.displaced += _is_displaced(new) and not _is_displaced(old)
        if (new.get("ledger") or {}).get("stopping") or lost.requests or job["spec"].get("suspend"):
            lost.whole = False
        retries, preemptions = new.get("retry_count", 0), new.get("preemption_count", 0)
        for name in ("retry_count", "preemption_count"):
            if new.get(name, 0) < old.get(name, 0):
                yield f"{name} went from {old[name]} to {new.get(name)}"
        rounds = "Job" in self._scopes.values()
        failed = lost.failed | (lost.preempted if rounds else set())
        if retries > len(failed) + lost.requests:
            yield f"retry_count is {retries}, but {len(failed)} pods failed and {lost.requests} retries were requested"
        if preemptions > len(lost.preempted | lost.either) + lost.displaced:
            by_queue = f" and its queue took its quota {lost.displaced} times" if lost.displaced else ""
            yield f"preemption_count is {preemptions}, but {len(lost.preempted)} pods were preempted{by_queue}"
        if preemptions < lost.displaced:
            yield f"preemption_count is {preemptions}, but its queue took its quota {lost.displaced} times"
        if new.get("status") == "COMPLETED" != old.get("status") and lost.whole:
            every = lost.failed | lost.preempted
            if not len(every - lost.unseen) <= retries + preemptions <= len(every | lost.either):
                yield f"it ended with {retries} retries and {preemptions} preemptions, but {len(every)} pods were lost"


def _place(pod: Object) -> Key:
    labels = pod["metadata"]["labels"]
    return labels[names.COMPONENT_LABEL], str(labels[names.INDEX_LABEL]), int(labels[names.ATTEMPT_LABEL])


def is_noted(pod: Object, job: Object) -> bool:
    """Whether the job's status says that this pod was there."""
    labels = pod["metadata"]["labels"]
    components = ((job.get("status") or {}).get("ledger") or {}).get("components") or {}
    known = components.get(labels[names.COMPONENT_LABEL]) or {}
    return int(labels[names.INDEX_LABEL]) in ranges.parse(known.get("observed_indexes") or "")


def _verdict(pod: Object, before: Object, *, gone: bool) -> str:
    """failed, preempted, or "" for what counts as nothing."""
    status = pod["status"]
    disrupted = any(
        c["type"] in ("DisruptionTarget", "TerminationTarget") and c["status"] == "True"
        for c in status.get("conditions") or ()
    )
    ended = _terminated(pod)
    if status.get("phase") == "Succeeded":
        return "preempted" if disrupted and ended.get("message") and block_of(pod) else ""
    if ended.get("exitCode") in (64,):
        return ""
    if disrupted or status.get("reason") == "Terminated":
        return "preempted"
    if status.get("reason") == "Evicted":
        return "failed"
    if "deletionTimestamp" in before["metadata"] or (gone and status.get("phase") not in TERMINAL_PHASES):
        return "preempted"
    if not status.get("containerStatuses") and status.get("reason") not in (None, "", "DeadlineExceeded"):
        return "preempted"
    return "" if ended.get("exitCode") == 65 else "failed"


def _terminated(pod: Object) -> dict[str, Any]:
    for container in pod["status"].get("containerStatuses") or ():
        found: dict[str, Any] = container["state"].get("terminated") or {}
        return found
    return {}


def _last_word(pod: Object) -> frozenset[int]:
    try:
        said = json.loads(_terminated(pod).get("message") or "{}")
    except ValueError:
        return frozenset()
    return ranges.parse(said.get("completed", "")) | ranges.parse(said.get("failed", ""))


def block_of(pod: Object) -> frozenset[int]:
    return ranges.parse(pod["metadata"]["annotations"][names.INPUTS_ANNOTATION])


def _handled(status: Object) -> str:
    return str(((status.get("ledger") or {}).get("handled_requests") or {}).get("retry", ""))


def _is_displaced(status: Object) -> bool:
    """It is being stopped so that others get its quota, or because its queue is drained; a lost round says nothing."""
    stopping = (status.get("ledger") or {}).get("stopping") or {}
    return stopping.get("reason") == "Preempted" and bool(stopping.get("message"))


def _owner(pod: Object) -> str:
    return next((o["uid"] for o in pod["metadata"].get("ownerReferences") or () if o.get("controller")), "")


def _is_live(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") not in TERMINAL_PHASES
