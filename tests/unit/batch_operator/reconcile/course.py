"""A job's course for tests: pass after pass, with the pods that the plans made and what has become of them."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from batch_operator.api.job_file import JobFile
from batch_operator.api.report import Report
from batch_operator.api.v1alpha1.batchjob import BatchJob, BatchJobStatus, ComponentLedger, Ledger
from batch_operator.reconcile.plan import Plan
from batch_operator.reconcile.status_write import as_written
from batch_operator.snapshot import JobSnapshot, PodRecord, RuleSettings
from tests.builders import NOW, after, make_batchjob, make_pipeline, make_spec, reconcile, record_of, seconds

Place = tuple[str, int, int]
TRAINING = {"components": {"worker": {"image": "example.org/train:1", "max_parallelism": 8, "restart_scope": "Job"}}}
"""A pipeline whose pods depend on each other."""


class Course:
    """Passes over one job at chosen seconds. Pods by (component, index, attempt); `pod` is short for worker's."""

    def __init__(self, spec: Mapping[str, Any] | None = None, **pipeline: Any) -> None:
        self.spec = dict(spec or make_spec())
        self.job: BatchJob = make_batchjob(self.spec)
        self.snapshot = JobSnapshot(pipelines=(make_pipeline(**pipeline),), org_id="team-a", settings=RuleSettings())
        self.pods: dict[Place, PodRecord] = {}
        self.file: JobFile | None = None
        self.plan = Plan("none")
        self.states: list[str] = []
        self.events: list[str] = []

    def at(self, second: float, passes: int = 2) -> "Course":
        """`passes` at this second: what a status write makes possible comes with the next one."""
        for _ in range(passes):
            snapshot = replace(self.snapshot, job_file=self.file, pods=tuple(self.pods.values()))
            self.plan = reconcile(self.job, snapshot, NOW + seconds(second))
            self.file = self.plan.job_file or self.file
            self.job = after(self.job, self.plan, self.spec)
            if self.plan.event is not None:
                self.events.append(f"{self.plan.event.reason}: {self.plan.event.message}")
            if self.state != (self.states or [""])[-1]:
                self.states.append(self.state)
            for manifest in self.plan.pods:
                pod = record_of(manifest, len(self.pods))
                assert (pod.component, pod.index, pod.attempt) not in self.pods, f"{pod.name} is made twice"
                self.pods[pod.component, pod.index, pod.attempt] = pod
            for delete in self.plan.deletes:
                self.pods |= {
                    place: replace(p, deleting=True, deletion_asked_at=NOW + seconds(second))
                    for place, p in self.pods.items()
                    if p.uid == delete.uid
                }
        return self

    def pod(self, index: int, attempt: int = 0, component: str = "worker", **changes: Any) -> "Course":
        """Something becomes of a pod."""
        place = (component, index, attempt)
        self.pods[place] = replace(self.pods[place], **changes)
        return self

    def runs(self, *indexes: int, attempt: int = 0, component: str = "worker") -> "Course":
        for index in indexes:
            self.pod(index, attempt, component, phase="Running", node="node-1", started_at=NOW + seconds(2))
        return self

    def fails(self, index: int, attempt: int = 0, exit_code: int = 1, **changes: Any) -> "Course":
        started = {"started_at": NOW + seconds(2), "finished_at": NOW + seconds(3)}
        return self.pod(index, attempt, **{"phase": "Failed", "exit_code": exit_code, **started, **changes})

    def preempted(self, index: int, attempt: int = 0, **changes: Any) -> "Course":
        disrupted = {"disruption": "PreemptionByScheduler: preempting to accommodate a higher priority pod"}
        return self.fails(index, attempt, **{"exit_code": 137, **disrupted, **changes})

    def succeeds(self, *indexes: int, attempt: int = 0, **changes: Any) -> "Course":
        for index in indexes:
            done = {"phase": "Succeeded", "exit_code": 0, "started_at": NOW + seconds(2)}
            self.pod(index, attempt, **{**done, "finished_at": NOW + seconds(3), **changes})
        return self

    def gone(self, index: int, attempt: int = 0, component: str = "worker") -> "Course":
        """Its object is deleted, after whatever it had become."""
        return self.pod(index, attempt, component, deleted=True)

    def annotated(self, **requests: str) -> "Course":
        self.job = self.job.model_copy(update=requests)
        return self

    def spec_changes(self, **fields: Any) -> "Course":
        self.spec |= fields
        spec = self.job.spec.model_copy(update=fields)
        self.job = self.job.model_copy(update={"spec": spec, "generation": self.job.generation + 1})
        return self

    def reports(self, report: str, index: int = 0, attempt: int = 0) -> "Course":
        """A worker has said this, and the operator remembers it."""
        said = {self.pods["worker", index, attempt].uid: Report.parse(report)}
        self.snapshot = replace(self.snapshot, reports=said)
        return self

    def rewritten(self, change: Callable[[dict[str, Any]], object]) -> "Course":
        """The stored status is changed in place: by another version, or with another clock."""
        raw = deepcopy(dict(as_written(self.status)))
        change(raw)
        self.job = self.job.model_copy(update={"status": BatchJobStatus.model_validate(raw)})
        return self

    @property
    def status(self) -> BatchJobStatus:
        return self.job.status

    @property
    def state(self) -> str:
        return str(self.status.status)

    @property
    def counts(self) -> tuple[int | None, int | None]:
        """(retry_count, preemption_count)."""
        return self.status.retry_count, self.status.preemption_count

    @property
    def ledger(self) -> Ledger:
        assert self.status.ledger is not None
        return self.status.ledger

    @property
    def worker(self) -> ComponentLedger:
        return (self.ledger.components or {})["worker"]

    @property
    def error_code(self) -> str:
        assert self.status.error is not None, self.status.message
        return self.status.error.code

    @property
    def living(self) -> list[tuple[int, int]]:
        """(index, attempt) of the pods that live."""
        return sorted((p.index, p.attempt) for p in self.pods.values() if p.is_live)

    @property
    def blocks(self) -> dict[tuple[int, int], str]:
        """Inputs by (index, attempt)."""
        return {(p.index, p.attempt): p.inputs for p in self.pods.values()}


def inputs(count: int, parallelism: int, **spec: Any) -> dict[str, Any]:
    """A spec of so many inputs over so many pods."""
    ports = make_spec()["inputs"] | {"worker.inference": [{"file_id": f"day_{n}.csv"} for n in range(count)]}
    return make_spec(**{"inputs": ports, "parameters": {"worker": {"parallelism": parallelism}}, **spec})
