"""Bugs seeded into the operator, one at a time: the oracle must catch each, in the plan that is named here.

Each is a function that puts the bug in by monkeypatch; what it breaks is the sentence in its docstring.
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
from batch_operator.handlers import reconciler as reconciler_module
from batch_operator.policies import progress as progress_module
from batch_operator.policies import refusal as refusal_module
from batch_operator.reconcile import running as running_module
from batch_operator.reconcile import status as status_module
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

    async def read(client: Any, seen: Any, job: Any) -> None:
        path = CONFIG_MAPS.path(job.namespace, names.configmap_name(job.name, job.uid))
        try:
            file = configmap_module.job_file(await client.get(path))
        except NotFound:
            return
        if file is not None:
            seen.job_files[job.uid] = replace(file, sha256=job.status.ledger.spec_hash)

    patch.setattr(gather_module, "_read_job_file", read)


def intent_not_written(patch: Patch) -> None:
    """Pods are ended without a word in status of why."""
    proper = running_module.stop

    def stop(job: Any, status: Any, *rest: Any) -> Any:
        plan, wanted = proper(job, status, *rest)
        said = wanted.ledger is not None and wanted.ledger.stopping is not None
        return (plan, status) if said else (plan, wanted)

    patch.setattr(running_module, "stop", stop)


def foreign_blocks_count(patch: Patch) -> None:
    """A report counts for inputs of other pods."""
    patch.setattr(progress_module, "_block", lambda pod, file: frozenset(range(file.input_count)))


def ledger_forgotten(patch: Patch) -> None:
    """Progress is what pods and reports say now."""
    proper = progress_module.fold

    def fold(file: Any, ledger: Any, pods: Any, reports: Any) -> Any:
        return proper(file, ledger.model_copy(update={"completed_inputs": None}), pods, reports)

    patch.setattr(progress_module, "fold", fold)


def announced_before_the_pods_are_gone(patch: Patch) -> None:
    """FAILED is said while pods live."""
    proper = running_module.stop

    def stop(job: Any, status: Any, why: Any, seen: Any, now: Any, ending: Any) -> Any:
        plan, _ = proper(job, status, why, seen, now, ending)
        ended, wanted = proper(job, status, why, replace(seen, pods=()), now, ending)
        return replace(ended, deletes=plan.deletes), wanted

    patch.setattr(running_module, "stop", stop)


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


def refused_pods_are_tried_at_once(patch: Patch) -> None:
    """No back-off after a quota's refusal."""
    patch.setattr(refusal_module, "next_try", lambda refusal: refusal.at)


BUGS = (
    Bug(random_pod_names, "no-image/paused/2", "2 live pods of"),
    Bug(no_uid_precondition, "worker-fails/stranger-takes-the-name/{delete}", "is nobody's"),
    Bug(status_after_children, "success/reference", "before its status allowed it"),
    Bug(no_version_in_the_patch, "success/paused/{status:1}", "status went from"),
    Bug(goes_on_after_a_conflict, "worker-fails/paused/0", "was made 2 times"),
    Bug(any_job_file_will_do, "success/crash-and-tampered/3", "ended differently: /ConfigMap"),
    Bug(intent_not_written, "no-image/crash-after-commit/{delete}", "was made 2 times"),
    Bug(foreign_blocks_count, "foreign-report/reference", "ended differently"),
    Bug(ledger_forgotten, "hundred-inputs/crash-after-commit/{status:3}", "completed_inputs lost"),
    Bug(announced_before_the_pods_are_gone, "worker-fails/reference", "and its job has ended"),
    Bug(written_though_nothing_differs, "success/reference", "updated_at moved alone"),
    Bug(generation_not_told, "success/reference", "observedGeneration is None"),
    Bug(refused_pods_are_tried_at_once, "quota-none/reference", "still go on"),
)
