"""Bugs seeded into the operator, one at a time: the oracle must catch each, in the plan that is named here.

Each is a function that puts the bug in by monkeypatch; what it breaks is the sentence in its docstring. Here those of
writes, names and memory; bugs_of_decisions has those of what is decided, bugs_of_queues those of the queue.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from batch_operator.api import names
from batch_operator.api.v1alpha1.decoding import decode_job
from batch_operator.cluster import apply as apply_module
from batch_operator.cluster import gather as gather_module
from batch_operator.cluster import merge_patch
from batch_operator.cluster.errors import Conflict, NotFound
from batch_operator.cluster.resource_paths import BATCH_JOBS, CONFIG_MAPS, PODS
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.handlers import audit as audit_module
from batch_operator.handlers import reconciler as reconciler_module
from batch_operator.reconcile import status_write as status_module
from batch_operator.resources import configmap as configmap_module

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Bug:
    """`plan` catches it, with a violation that says `words`."""

    put_in: Callable[[Patch], None]
    plan: str
    words: str

    @property
    def name(self) -> str:
        return self.put_in.__name__.replace("_", "-")


def random_pod_names(patch: Patch) -> None:
    """Every create asks for another name, so that no name is ever taken."""
    number, proper = itertools.count(), names.pod_name
    patch.setattr(names, "pod_name", lambda *place: f"{proper(*place)}-{next(number)}")


def no_uid_precondition(patch: Patch) -> None:
    """A delete ends whatever has the name."""

    async def delete(client: Any, seen: Any, namespace: str, wanted: Any) -> None:
        await client.delete(PODS.path(namespace, wanted.name), uid="", grace_seconds=wanted.grace_seconds)

    patch.setattr(apply_module, "_delete", delete)


def status_after_children(patch: Patch) -> None:
    """Pods exist before anything in status says that they may."""
    proper = apply_module.apply

    async def apply(client: Any, seen: Any, job: Any, plan: Any, now: Any, reporter: str) -> bool:
        await proper(client, seen, job, replace(plan, status=None, event=None), now, reporter)
        rest = replace(plan, deletes=(), configmap=None, job_file=None, pods=())
        return await proper(client, seen, job, rest, now, reporter)

    patch.setattr(reconciler_module, "apply", apply)


def no_version_in_the_patch(patch: Patch) -> None:
    """A status of yesterday overwrites one of today."""

    async def write(client: Any, seen: Any, job: Any, plan: Any) -> None:
        change = merge_patch.difference(status_module.as_written(job.status), status_module.as_written(plan.status))
        answer = await client.patch_status(BATCH_JOBS.path(job.namespace, job.name), {"status": change})
        seen.jobs.observe(decode_job(answer, job))

    patch.setattr(apply_module, "_write_status", write)


def goes_on_after_a_conflict(patch: Patch) -> None:
    """What status has refused is done all the same."""
    proper = apply_module._write_status

    async def write(client: Any, seen: Any, job: Any, plan: Any) -> None:
        try:
            await proper(client, seen, job, plan)
        except Conflict:
            return

    patch.setattr(apply_module, "_write_status", write)


def any_job_file_will_do(patch: Patch) -> None:
    """Whatever lies in the ConfigMap is believed."""

    async def read(client: Any, job: Any) -> Any:
        path = CONFIG_MAPS.path(job.namespace, names.configmap_name(job.name, job.uid))
        try:
            file = configmap_module.job_file(await client.get(path))
        except NotFound:
            return None
        return file and replace(file, sha256=job.status.ledger.spec_hash)

    patch.setattr(gather_module, "_read_job_file", read)


def written_though_nothing_differs(patch: Patch) -> None:
    """Every pass writes."""
    patch.setattr(
        status_module,
        "due",
        lambda job, wanted, now, interval: (
            wanted.model_copy(update={"observedGeneration": 1, "updated_at": now}),
            None,
        ),
    )


def generation_not_told(patch: Patch) -> None:
    """Nobody can tell which spec a status is about."""
    proper = status_module.due

    def due(*arguments: Any) -> Any:
        write, wait = proper(*arguments)
        return (write and write.model_copy(update={"observedGeneration": None})), wait

    patch.setattr(status_module, "due", due)


def believes_any_404(patch: Patch) -> None:
    """One wrong "not found", and the job is forgotten until an audit after the memory of its death is gone."""

    async def gone(client: Any, path: str, uid: str) -> bool:
        return True

    patch.setattr(apply_module, "_is_gone", gone)


def vanished_pods_are_not_asked_for(patch: Patch) -> None:
    """No live GET: a pod that was deleted while nobody watched is one that was never made."""

    async def ask(*_: Any) -> None:
        return None

    patch.setattr(gather_module, "_ask_for_vanished_pods", ask)


def a_stale_list_is_believed(patch: Patch) -> None:
    """A pod that is not in the list is gone, and nobody asks the server."""

    async def get(path: str) -> Any:
        raise NotFound(404, "NotFound", path)

    proper = gather_module._ask_for_vanished_pods

    async def ask(client: Any, *rest: Any) -> None:
        blind = type("Blind", (), {"get": staticmethod(get)})()
        await proper(blind, *rest)

    patch.setattr(gather_module, "_ask_for_vanished_pods", ask)


def a_failed_pass_is_not_repeated(patch: Patch) -> None:
    """What went wrong once is left until an event happens to come."""
    patch.setattr(WorkQueue, "add_with_backoff", lambda self, key, at_least=0.0: 0.0)


def pods_are_not_audited(patch: Patch) -> None:
    """An event that no watch told of is lost for good."""

    async def find(*_: Any) -> None:
        return None

    patch.setattr(audit_module, "find_pods", find)


OF_WRITES = (
    Bug(random_pod_names, "no-image/paused/2", "lived for"),
    Bug(no_uid_precondition, "bad-config/stranger-takes-the-name/{delete}", "is nobody's"),
    Bug(status_after_children, "success/reference", "before its status allowed it"),
    Bug(no_version_in_the_patch, "success/paused/{status:1}", "status went from"),
    Bug(goes_on_after_a_conflict, "bad-config/paused/0", "was made 2 times"),
    Bug(any_job_file_will_do, "success/crash-and-tampered/3", "holds another job file"),
    Bug(written_though_nothing_differs, "success/reference", "updated_at moved alone"),
    Bug(generation_not_told, "success/reference", "observedGeneration is None"),
    Bug(believes_any_404, "success/404/{status:1}", "later than without the fault"),
    Bug(vanished_pods_are_not_asked_for, "deleted-while-down/reference", "was made 2 times"),
    Bug(a_stale_list_is_believed, "retry-then-success/crash-and-stale-pods/{status:4}", "but 0 pods were preempted"),
    Bug(a_failed_pass_is_not_repeated, "success/500/{status:0}", "later than without the fault"),
    Bug(pods_are_not_audited, "success/watch-drops/20", "ended differently"),
)
