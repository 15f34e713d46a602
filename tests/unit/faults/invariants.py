"""The oracle: what must hold of the API server's own history, whatever has gone wrong. Called by plans."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any

from batch_operator.api import names, ranges
from batch_operator.api.v1alpha1.batchjob import JobStatus
from batch_operator.reconcile.transitions import EDGES
from tests.fakes.client import Sent
from tests.fakes.resource_types import BATCH_JOBS, CONFIG_MAPS, PODS, Object
from tests.fakes.watch_log import Commit

TERMINAL = ("COMPLETED", "FAILED")
TERMINAL_PHASES = ("Succeeded", "Failed")
LATE_POD_SECONDS = 60.0


def violations(history: Iterable[Commit], sent: Iterable[Sent], end: float, stopped: Collection[str] = ()) -> list[str]:
    """One line each, with the version at which it happened. `end`: the second at which the history ends.

    `stopped`: operators that were stopped in the middle of a pass and went on when others had taken over, or whose
    request was long under way. No API server can know that, so that a pod which comes so for an ended job is only
    held to LATE_POD_SECONDS; unless the operator had just been told, by the refusal of its status.
    """
    sent = list(sent)
    told = {s.at for s in sent if s.request.actor in stopped and s.error and s.request.path.endswith("/status")}
    judge = _Judge(stopped, told)
    for commit in history:
        judge.found += [f"at {commit.version} ({commit.at:.1f} s): {words}" for words in judge.see(commit)]
    judge.found += judge.late_pods(end)
    idle = [s for s in sent if not s.changed and not s.error]
    return judge.found + [f"at {s.version} ({s.at:.1f} s): {s.request.verb} changed nothing" for s in idle]


class _Judge:
    """The objects as they are after each commit, and the rules."""

    def __init__(self, stopped: Collection[str], told: set[float]) -> None:
        self._told = told
        self._stopped = stopped
        self._late: dict[str, tuple[str, float]] = {}
        self.found: list[str] = []
        self._jobs: dict[str, Object] = {}
        self._pods: dict[str, Object] = {}
        self._configmaps: set[str] = set()
        self._made: Counter[tuple[str, str, str, str]] = Counter()

    def see(self, commit: Commit) -> Iterator[str]:
        obj = commit.object
        uid = obj["metadata"]["uid"]
        known = {BATCH_JOBS: self._jobs, PODS: self._pods}.get(commit.resource)
        if commit.resource is CONFIG_MAPS:
            (self._configmaps.discard if commit.type == "DELETED" else self._configmaps.add)(commit.name)
        if known is None:
            return
        by_operator = commit.actor.startswith("operator")
        if commit.resource is PODS and by_operator:
            wrong = list(self._pod_written(commit))
            unknowing = commit.actor in self._stopped and commit.at not in self._told
            if wrong and unknowing and self._has_ended(_owner(obj)):
                self._late[uid] = (commit.name, commit.at)
            else:
                yield from wrong
        if uid in self._late and (not _is_live(obj) or "deletionTimestamp" in obj["metadata"]):
            yield from self._too_late(uid, commit.at)
        if commit.resource is BATCH_JOBS and commit.type == "MODIFIED":
            yield from self._status_written(self._jobs[uid].get("status") or {}, obj)
        if commit.type == "DELETED":
            known.pop(uid, None)
        else:
            known[uid] = obj
        yield from self._now()

    def late_pods(self, end: float) -> list[str]:
        return [words for uid in list(self._late) for words in self._too_late(uid, end)]

    def _too_late(self, uid: str, now: float) -> Iterator[str]:
        name, made = self._late.pop(uid)
        if now - made > LATE_POD_SECONDS:
            yield f"pod {name}, that came too late for its job, lived for {now - made:.0f} s"

    def _has_ended(self, job_uid: str) -> bool:
        status = self._jobs.get(job_uid, {"status": {"status": "FAILED"}}).get("status") or {}
        return status.get("status") in TERMINAL or bool((status.get("ledger") or {}).get("stopping"))

    def _pod_written(self, commit: Commit) -> Iterator[str]:
        pod = commit.object
        owner = _owner(pod)
        if commit.type != "ADDED":
            if not owner:
                yield f"pod {commit.name} is nobody's, and the operator ended it"
            return
        key = _key(pod)
        self._made[key] += 1
        if self._made[key] > 1:
            yield f"pod {key[1:]} was made {self._made[key]} times"
        status = self._jobs.get(owner, {}).get("status") or {}
        ledger = status.get("ledger") or {}
        component = (ledger.get("components") or {}).get(key[1])
        if component is None or int(key[2]) >= component["parallelism"]:
            yield f"pod {commit.name} was made before its status allowed it"
        if status.get("status") in TERMINAL or ledger.get("stopping"):
            yield f"pod {commit.name} was made although its job is {status.get('status')} or being stopped"
        environment = {item["name"]: item.get("value") for item in pod["spec"]["containers"][0]["env"]}
        if environment["BATCH_JOB_SHA256"] != ledger.get("spec_hash"):
            yield f"pod {commit.name} works with another job file than the one that was pinned"
        done = ranges.parse(ledger.get("completed_inputs", ""))
        if again := ranges.parse(environment["BATCH_INPUTS"] or "") & done:
            yield f"pod {commit.name} is given input {min(again)}, which is completed"

    def _status_written(self, old: Object, job: Object) -> Iterator[str]:
        new = job.get("status") or {}
        if old == new:
            return
        before, after = old.get("status"), new.get("status")
        if before != after and (after is None or JobStatus(after) not in EDGES[JobStatus(before) if before else None]):
            yield f"status went from {before} to {after}"
        if before in TERMINAL:
            yield f"the status of a {before} job changed"
        if new.get("observedGeneration") != job["metadata"]["generation"]:
            yield f"observedGeneration is {new.get('observedGeneration')}"
        if {**old, "updated_at": ""} == {**new, "updated_at": ""}:
            yield "updated_at moved alone"
        yield from _progress(old, new)
        yield from _times(old, new)

    def _now(self) -> Iterator[str]:
        late = self._late
        live = [pod for uid, pod in self._pods.items() if _owner(pod) and _is_live(pod) and uid not in late]
        for key, count in Counter(_key(pod)[:3] for pod in live).items():
            if count > 1:
                yield f"{count} live pods of {key[1:]}"
        for pod in live:
            job = self._jobs.get(_owner(pod))
            if job and (job.get("status") or {}).get("status") in TERMINAL:
                yield f"pod {pod['metadata']['name']} lives, and its job has ended"


def _progress(old: Object, new: Object) -> Iterator[str]:
    then, now = old.get("ledger") or {}, new.get("ledger") or {}
    for name in ("completed_inputs", "failed_inputs"):
        if lost := ranges.parse(then.get(name, "")) - ranges.parse(now.get(name, "")):
            yield f"{name} lost {ranges.format_ranges(lost)}"
    was, counts = old.get("input_progress"), new.get("input_progress")
    if was and counts and sum(was.values()) != sum(counts.values()):
        yield f"the counts' sum went from {sum(was.values())} to {sum(counts.values())}"
    if counts:
        sizes = {name: len(ranges.parse(now.get(f"{name}_inputs", ""))) for name in ("completed", "failed")}
        if any(counts[name] != size for name, size in sizes.items()) or min(counts.values()) < 0:
            yield f"the counts {counts} are not the ledger's {sizes}"


def _times(old: Object, new: Object) -> Iterator[str]:
    for name in ("created_at", "started_at", "completed_at", "failed_at"):
        if old.get(name) and old[name] != new.get(name):
            yield f"{name} changed"
    ordered = [new[name] for name in ("created_at", "started_at", "completed_at", "failed_at") if new.get(name)]
    stamps = [datetime.fromisoformat(text) for text in ordered]
    if stamps != sorted(stamps):
        yield f"times are out of order: {ordered}"
    if new.get("status") == "COMPLETED" and not new.get("started_at"):
        yield "a COMPLETED job has no started_at"


def _owner(pod: Object) -> str:
    return next((o["uid"] for o in pod["metadata"].get("ownerReferences") or () if o.get("controller")), "")


def _is_live(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") not in TERMINAL_PHASES


def _key(pod: Object) -> tuple[str, str, str, str]:
    labels: dict[str, Any] = pod["metadata"]["labels"]
    parts = (names.COMPONENT_LABEL, names.INDEX_LABEL, names.ATTEMPT_LABEL)
    return (_owner(pod), *(str(labels[part]) for part in parts))  # type: ignore[return-value]
