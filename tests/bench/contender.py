"""What a contender is: `Contender`, and the `Desk` that it works at. Implemented in contenders/, called by throughput
and the other workloads.

A contender is given jobs by the submitter (its own process), does what it does, and is judged by the audit log alone.
All run on the same cluster, one at a time. Rules for all:

- **names**: whatever concerns a job has a name that begins with the job's (`job-00017-worker-0`): so the audit log's
  entries are told apart. Jobs' names all have the same length (`JOB_NAME`).
- **namespace**: each run has a fresh one, deleted at the run's end; nothing of a contender's outlives its jobs in it.
- **identity**: a contender asks with a ServiceAccount of its own (`Desk.kubeconfig(account)`, cluster-admin); one that
  is part of the controller manager is told by its user agent. `is_own` says whether a request is its.
- **pods**: one container of `pod_image(seconds)`: kwok ends a pod by its image's tag, alike for all. Each asks for one
  GPU (`GPU`), so that the scheduler has alike to do; the nodes have more than all jobs ask for, and no taints.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from tests.bench.audit import Entry

Object = dict[str, Any]
GPU = "nvidia.com/gpu"
ACCOUNTS = "bench"
"""The namespace of the contenders' ServiceAccounts; also for what they keep (a Lease, a Deployment's objects)."""
JOB_NAME = "job-%05d"
ENDLESS = -1.0


class Limits(StrEnum):
    """Of clients: as the contender ships them, or out of the way."""

    SHIPPED = "shipped"
    TUNED = "tuned"


@dataclass(frozen=True)
class Shape:
    """Of a job. `seconds`: how long each pod runs: 0, 0.2, or ENDLESS until it is deleted."""

    pods: int
    seconds: float = 0.0
    inputs: int = 0
    """0: as many as pods."""


def pod_image(seconds: float) -> str:
    """The image whose pods kwok ends after so long; ENDLESS: never."""
    return "example.org/bench:" + ("endless" if seconds < 0 else f"{round(seconds * 1000)}ms")


class Desk(Protocol):
    """The cluster, as a contender uses it (ground.Ground)."""

    binaries: Path
    """The directory of the programs that were built from Go modules."""
    directory: Path
    """For logs and scratch files of this `make bench`."""

    def kubeconfig(self, account: str) -> Path:
        """A kubeconfig with the token of this ServiceAccount in ACCOUNTS, which may do everything."""

    async def ask(self, method: str, path: str, body: Object | None = None, may_fail: tuple[int, ...] = ()) -> Object:
        """One request as the cluster's administrator; raises Refused for an error that is not in `may_fail`."""

    async def apply(self, *manifests: Object) -> None:
        """Server-side apply, as the administrator; CRDs are waited for until they are Established."""

    async def limit_controller_manager(self, limits: Limits) -> None:
        """Restarts kube-controller-manager if it does not run with these limits: TUNED is 5,000 QPS, burst 10,000, 50
        workers for Jobs; SHIPPED is 20 QPS, burst 30, 5 workers. TUNED is what a run begins with otherwise."""


class Contender(Protocol):
    """One per line of the table."""

    name: str
    """In tables, pictures and on the command line: "operator", "Job", "JobSet", "Job, shipped limits"."""
    kind: str
    """Kind of the object that the submitter posts, for the harness' own watch."""

    async def prepare(self, desk: Desk) -> None:
        """Once per cluster, before the first run: CRDs, webhooks, cluster-wide objects."""

    async def start(self, desk: Desk, namespace: str, shape: Shape) -> None:
        """Before each run of jobs of this shape; the namespace is there and empty. Returns when it is ready to take
        jobs (first lists done). What runs has no job's work left over from before."""

    def check(self) -> None:
        """Raises where a process of its own has ended before its time; asked every second of a run."""

    async def stop(self) -> None:
        """After each run, also a failed one: processes ended, by their pids."""

    @property
    def pids(self) -> Sequence[int]:
        """Its own processes, for CPU and memory; () where it has none of its own."""

    def collection(self, namespace: str) -> str:
        """Where the submitter posts jobs, e.g. /apis/batch/v1/namespaces/bench-1/jobs."""

    def manifest(self, name: str, shape: Shape) -> Object:
        """The job that the submitter posts, without a namespace."""

    def outcome(self, job: Object) -> str:
        """Of a job as a watch of its collection shows it: "" while it is under way, "succeeded", or what went wrong.
        The harness watches (alike for all) only to know when a run is over; no time is taken from it."""

    def is_own(self, entry: Entry) -> bool:
        """Whether this request is the contender's own."""

    def may_end(self, entry: Entry) -> bool:
        """Whether this write may be the one that gives a job its last status: of a job's such writes that held, the
        last one before the run's end is taken. Usually a write of the job's `/status` that is its own."""


def by_account(entry: Entry, account: str) -> bool:
    """Whether a request was made with Desk.kubeconfig(account)."""
    return entry.user == f"system:serviceaccount:{ACCOUNTS}:{account}"
