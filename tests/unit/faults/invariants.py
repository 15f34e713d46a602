"""The oracle: what must hold of the API server's own history, whatever has gone wrong. Called by plans and the model.

The numbers in brackets are those of the invariants in docs/reliability.md.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from batch_operator.api import index_counts, names, ranges
from batch_operator.resources.configmap import job_file
from tests.fakes.client import Sent
from tests.fakes.clock import START
from tests.fakes.resource_types import BATCH_JOBS, CONFIG_MAPS, NODES, PODS, QUEUES, Object
from tests.fakes.watch_log import Commit
from tests.unit.faults.counting import Counting, is_noted
from tests.unit.faults.queue_rules import QueueRules
from tests.unit.faults.status_rules import TERMINAL, parsed, status_written

TERMINAL_PHASES = ("Succeeded", "Failed")
LATE_POD_SECONDS = 60.0
ORPHAN_SECONDS = 60.0
NODE_GONE_SECONDS = 40.0


def violations(
    history: Iterable[Commit],
    sent: Iterable[Sent],
    end: float,
    stopped: Collection[str] = (),
    *,
    clock_was_set: bool = False,
    sees_late: bool = False,
    queues: QueueRules | None = None,
) -> list[str]:
    """One line each, with the version at which it happened. `end`: the second at which the history ends.

    `stopped`: operators that were stopped in the middle of a pass and went on when others had taken over, or whose
    request was long under way. No API server can know that, so that a pod which comes so too late is only
    held to LATE_POD_SECONDS; unless the operator had just been told, by the refusal of its status. `clock_was_set`:
    an operator's idea of what time it is may be a day off. `sees_late`: it may ask again for what is done.
    `queues`: with how much patience.
    """
    sent = list(sent)
    refused = [s for s in sent if s.request.actor in stopped and s.error and s.request.path.endswith("/status")]
    told = {(s.request.actor, s.at) for s in refused}
    judge = Judge(stopped, told, clock_was_set=clock_was_set, queues=queues)
    for commit in history:
        judge.see(commit)
    judge.end(end)
    idle = [s for s in sent if not s.changed and not s.error and not sees_late]
    return judge.found + [f"at {s.version} ({s.at:.1f} s): {s.request.verb} changed nothing" for s in idle]


class Judge:
    """The objects as they are after each commit, and the rules. `found`: what is broken so far."""

    def __init__(
        self,
        stopped: Collection[str] = (),
        told: Collection[tuple[str, float]] = (),
        *,
        clock_was_set: bool = False,
        queues: QueueRules | None = None,
    ) -> None:
        self.found: list[str] = []
        self._queues = queues or QueueRules()
        self._told = told
        self._stopped = stopped
        self._clock_was_set = clock_was_set
        self._counting = Counting()
        self._late: dict[str, tuple[str, float]] = {}
        self._jobs: dict[str, Object] = {}
        self._jobs_gone: dict[str, float] = {}
        self._pods: dict[str, Object] = {}
        self._nodes_gone: dict[str, float] = {}
        self._job_files: dict[str, Object] = {}
        self._made: Counter[tuple[str, str, str, str]] = Counter()
        self._unseen: set[tuple[str, str, str, str]] = set()

    def see(self, commit: Commit) -> None:
        self.found += [f"at {commit.version} ({commit.at:.1f} s): {words}" for words in self._see(commit)]

    def end(self, now: float) -> None:
        for uid in list(self._late):
            self.found += self._too_late(uid, now)
        for pod in self._pods.values():
            self.found += self._orphan(pod, now)
        self.found += self._queues.end()

    def _see(self, commit: Commit) -> Iterator[str]:
        obj, uid = commit.object, commit.object["metadata"]["uid"]
        by_operator = commit.actor.startswith("operator")
        namespaces = {job["metadata"]["namespace"] for job in self._jobs.values()}
        if by_operator and namespaces and commit.namespace not in namespaces and commit.resource is not QUEUES:
            yield f"the operator wrote in namespace {commit.namespace!r}, where no job is"  # [I16]
        for words in self._counting.see(commit):  # [I5, I13]
            if "its predecessor failed" not in words or not (self._clock_was_set or commit.actor in self._stopped):
                yield words
        if commit.resource is NODES:
            self._node(commit)
        elif commit.resource is CONFIG_MAPS:
            self._job_files[_owner(obj)] = obj if commit.type != "DELETED" else {}
        elif commit.resource is PODS:
            yield from self._pod(commit, by_operator=by_operator)
        elif commit.resource is BATCH_JOBS:
            if commit.type == "MODIFIED":
                yield from status_written(self._jobs[uid].get("status") or {}, obj)
                yield from self._waits_without_pods(obj, commit.at)
            if commit.type == "DELETED":
                self._jobs_gone[uid] = commit.at
                self._jobs.pop(uid, None)
            else:
                self._jobs[uid] = obj
        yield from self._queues.see(commit, lambda uid: self._is_out(uid, commit.at))  # [I10, I11]
        yield from self._now(commit.at)

    def _is_out(self, pod_uid: str, now: float) -> bool:
        """It counts for nothing: too late, or its node is gone."""
        pod = self._pods.get(pod_uid)
        return pod is None or pod_uid in self._late or self._is_off(pod, now)

    def _waits_without_pods(self, job: Object, now: float) -> Iterator[str]:
        """A job that has a living pod is ADMITTED or RUNNING, unless Kueue has it: its pods wait behind their gates."""
        status = job.get("status") or {}
        handed_over = any(c.get("reason") == "HandedOver" for c in status.get("conditions") or ())
        if status.get("status") in ("PENDING", "PREEMPTED") and not (handed_over and status["status"] == "PENDING"):
            for uid, pod in self._pods.items():
                mine = _owner(pod) == job["metadata"]["uid"]
                if mine and _is_live(pod) and uid not in self._late and not self._is_off(pod, now):
                    yield f"pod {pod['metadata']['name']} lives, and its job is {status['status']}"

    def _node(self, commit: Commit) -> None:
        """When what runs there stops counting."""
        if commit.type == "DELETED":
            self._nodes_gone[commit.name] = commit.at + NODE_GONE_SECONDS
        elif commit.object["spec"].get("taints"):
            self._nodes_gone[commit.name] = commit.at

    def _pod(self, commit: Commit, *, by_operator: bool) -> Iterator[str]:
        pod, uid = commit.object, commit.object["metadata"]["uid"]
        if by_operator:
            wrong = list(self._pod_written(commit))
            if wrong and commit.actor in self._stopped and (commit.actor, commit.at) not in self._told:
                self._late[uid] = (commit.name, commit.at)
            else:
                yield from wrong
        ends = commit.type == "DELETED" or not _is_live(pod)
        if uid in self._late and (ends or "deletionTimestamp" in pod["metadata"]):
            yield from self._too_late(uid, commit.at)
        if ends:
            yield from self._orphan(self._pods.get(uid, pod), commit.at)
        if commit.type == "DELETED":
            self._pods.pop(uid, None)
            if _owner(pod) and not is_noted(pod, self._jobs.get(_owner(pod), {})):
                self._unseen.add(_key(pod))
        else:
            self._pods[uid] = pod

    def _too_late(self, uid: str, now: float) -> Iterator[str]:
        name, made = self._late.pop(uid)
        if now - made > LATE_POD_SECONDS:
            yield f"pod {name}, that came too late for its job, lived for {now - made:.0f} s"

    def _orphan(self, pod: Object, now: float) -> Iterator[str]:
        born = (parsed(pod["metadata"]["creationTimestamp"]) - START).total_seconds()
        gone = max(born, self._jobs_gone.get(_owner(pod), now))  # [I8]
        if _is_live(pod) and now - gone > ORPHAN_SECONDS and not self._is_off(pod, now):
            yield f"pod {pod['metadata']['name']} lived on for {now - gone:.0f} s without its job"

    def _pod_written(self, commit: Commit) -> Iterator[str]:
        pod = commit.object
        owner = _owner(pod)
        if commit.type != "ADDED":
            if not owner:
                yield f"pod {commit.name} is nobody's, and the operator ended it"
            return
        key = _key(pod)
        self._made[key] += 1
        if self._made[key] > 1 and key not in self._unseen:
            yield f"pod {key[1:]} was made {self._made[key]} times"  # [I1]
        status = self._jobs.get(owner, {}).get("status") or {}
        ledger = status.get("ledger") or {}
        yield from self._authorised(commit, key, ledger)
        if status.get("status") in TERMINAL or ledger.get("stopping"):  # [I8]
            yield f"pod {commit.name} was made although its job is {status.get('status')} or being stopped"
        environment = {item["name"]: item.get("value") for item in pod["spec"]["containers"][0]["env"]}
        if environment["BATCH_JOB_SHA256"] != ledger.get("spec_hash"):
            yield f"pod {commit.name} works with another job file than the one that was pinned"
        stored = job_file(self._job_files.get(owner) or {})
        if stored is not None and stored.sha256 != ledger.get("spec_hash"):
            yield f"pod {commit.name} was made while its ConfigMap holds another job file"
        done = ranges.parse(ledger.get("completed_inputs", ""))
        if again := ranges.parse(environment["BATCH_INPUTS"] or "") & done:
            yield f"pod {commit.name} is given input {min(again)}, which is completed"

    def _authorised(self, commit: Commit, key: tuple[str, str, str, str], ledger: Object) -> Iterator[str]:
        """Status says so first: index, attempt, and that its back-off is over."""
        component = (ledger.get("components") or {}).get(key[1])
        if component is None or int(key[2]) >= component["parallelism"]:
            yield f"pod {commit.name} was made before its status allowed it"
            return
        past = index_counts.parse(component.get("attempts"))
        attempt = past.get(int(key[2]), component.get("attempt", 0))
        if attempt != int(key[3]):
            yield f"pod {commit.name} was made before its status allowed it: it is at attempt {attempt}"
        due = (component.get("next_retry") or {}).get(key[2])
        if due and (parsed(due) - START).total_seconds() > commit.at + 1 and not self._clock_was_set:
            yield f"pod {commit.name} was made before {due}, when its back-off ends"

    def _now(self, now: float) -> Iterator[str]:
        late = self._late
        live = [
            pod
            for uid, pod in self._pods.items()
            if _owner(pod) and _is_live(pod) and uid not in late and not self._is_off(pod, now)
        ]
        for key, count in Counter(_key(pod)[:3] for pod in live).items():
            if count > 1:
                yield f"{count} live pods of {key[1:]}"  # [I2]
        for pod in live:
            job = self._jobs.get(_owner(pod))
            if job and (job.get("status") or {}).get("status") in TERMINAL:
                yield f"pod {pod['metadata']['name']} lives, and its job has ended"

    def _is_off(self, pod: Object, now: float) -> bool:
        """Its node is gone, whatever its status says."""
        return now >= self._nodes_gone.get(pod["spec"].get("nodeName", ""), float("inf"))


def _owner(pod: Object) -> str:
    return next((o["uid"] for o in pod["metadata"].get("ownerReferences") or () if o.get("controller")), "")


def _is_live(pod: Object) -> bool:
    """One that is deleted before it has a node, and that somebody's finalizer keeps, never runs."""
    never_runs = "deletionTimestamp" in pod["metadata"] and not pod["spec"].get("nodeName")
    return not never_runs and (pod.get("status") or {}).get("phase") not in TERMINAL_PHASES


def _key(pod: Object) -> tuple[str, str, str, str]:
    labels: dict[str, Any] = pod["metadata"]["labels"]
    parts = (names.COMPONENT_LABEL, names.INDEX_LABEL, names.ATTEMPT_LABEL)
    return (_owner(pod), *(str(labels[part]) for part in parts))  # type: ignore[return-value]
