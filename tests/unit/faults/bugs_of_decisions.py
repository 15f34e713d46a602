"""Seeded bugs of what is decided: counting, rounds, intents, requests. See bugs."""

from dataclasses import replace
from typing import Any

from batch_operator.api.v1alpha1.batchjob import JobStatus
from batch_operator.policies import effective_policy
from batch_operator.policies import pod_outcome as outcome_module
from batch_operator.policies import progress as progress_module
from batch_operator.policies import refusal as refusal_module
from batch_operator.policies import requests as requests_module
from batch_operator.policies.pod_outcome import Outcome
from batch_operator.reconcile import finished as finished_module
from batch_operator.reconcile import losses as losses_module
from batch_operator.reconcile import pods_of_job as pods_module
from batch_operator.reconcile import rounds as rounds_module
from batch_operator.reconcile import stopping as stopping_module
from batch_operator.reconcile.plan import Plan
from tests.unit.faults.bugs import Bug, Patch


def intent_not_written(patch: Patch) -> None:
    """Pods are ended without a word in status of why."""
    proper = stopping_module.go_on

    def go_on(job: Any, status: Any, *rest: Any) -> Any:
        plan, wanted = proper(job, status, *rest)
        said = job.status.ledger is not None and job.status.ledger.stopping is not None
        return (plan, wanted) if said or not plan.deletes else (plan, job.status)

    patch.setattr(stopping_module, "go_on", go_on)


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
    """The end is said while pods live."""
    proper = stopping_module.go_on

    def go_on(job: Any, status: Any, seen: Any, *rest: Any) -> Any:
        plan, _ = proper(job, status, seen, *rest)
        ended, wanted = proper(job, status, replace(seen, pods=()), *rest)
        return replace(ended, deletes=plan.deletes), wanted

    patch.setattr(stopping_module, "go_on", go_on)


def refused_pods_are_tried_at_once(patch: Patch) -> None:
    """No back-off after a quota's refusal."""
    patch.setattr(refusal_module, "next_try", lambda refusal: refusal.at)


def counted_with_every_look(patch: Patch) -> None:
    """Counting does not move the attempt on: the next pass sees the same loss again."""
    patch.setattr(rounds_module.Round, "replaced", lambda self, index: self)


def attempt_reused(patch: Patch) -> None:
    """A replacement has its predecessor's attempt, and so its name once that is free."""
    proper = rounds_module.Round.replaced

    def replaced(self: Any, index: int) -> Any:
        return replace(proper(self, index), attempts=self.attempts)

    patch.setattr(rounds_module.Round, "replaced", replaced)


def replaced_before_it_ended(patch: Patch) -> None:
    """A pod that is asked to go counts as gone."""
    proper = outcome_module.outcome

    def outcome(pod: Any, ended: Any = ()) -> Any:
        return Outcome.PREEMPTED if pod.is_live and pod.disruption else proper(pod, ended)

    patch.setattr(outcome_module, "outcome", outcome)


def preemption_is_a_retry(patch: Patch) -> None:
    """Whatever ends a pod is the pod's failure."""
    proper = outcome_module.outcome

    def outcome(pod: Any, ended: Any = ()) -> Any:
        found = proper(pod, ended)
        return Outcome.FAILED if found is Outcome.PREEMPTED else found

    patch.setattr(outcome_module, "outcome", outcome)


def exit_137_is_a_preemption(patch: Patch) -> None:
    """Judged by the exit code: SIGKILL means that somebody took it away."""
    proper = outcome_module.outcome

    def outcome(pod: Any, ended: Any = ()) -> Any:
        return Outcome.PREEMPTED if pod.exit_code == 137 else proper(pod, ended)

    patch.setattr(outcome_module, "outcome", outcome)


def each_pod_of_a_round_counts(patch: Patch) -> None:
    """restart_scope Job: a drain of three pods is three preemptions."""
    proper = losses_module._count_round

    def count(so_far: Any, lost: Any, *rest: Any) -> Any:
        found = proper(so_far, lost, *rest)
        extra = replace(found.counts, preemptions=found.counts.preemptions + len(lost) - 1)
        return replace(found, counts=extra)

    patch.setattr(losses_module, "_count_round", count)


def no_backoff_in_status(patch: Patch) -> None:
    """When the next try is due only this process knows."""
    proper = rounds_module.Round.written

    def written(self: Any) -> Any:
        return proper(self).model_copy(update={"next_retry": None})

    patch.setattr(rounds_module.Round, "written", written)


def retry_limit_off_by_one(patch: Patch) -> None:
    """One replacement more than allowed."""
    proper = effective_policy.within
    patch.setattr(losses_module, "within", lambda count, limit: proper(count - 1, limit))


def retry_request_handled_again(patch: Patch) -> None:
    """What was answered is not noted: the annotation is still there when the job fails again."""
    patch.setattr(requests_module, "retry_answered", lambda ledger, value: ledger)


def cancel_beats_completion(patch: Patch) -> None:
    """A request that comes after the end overwrites it."""

    def look(job: Any, seen: Any, now: Any) -> Any:
        if requests_module.cancel(job):
            status = job.status.model_copy(update={"status": JobStatus.CANCELLED, "cancelled_at": now})
            ledger = requests_module.cancel_answered(status.ledger, job.cancel_requested)
            return Plan("Cancelled"), status.model_copy(update={"ledger": ledger})
        return proper(job, seen, now)

    proper = finished_module.look
    patch.setattr(finished_module, "look", look)


def finished_inputs_repeated(patch: Patch) -> None:
    """A new round shares out all inputs again."""
    following, missing = rounds_module.next_round, pods_module.missing

    def made(job: Any, file: Any, rounds: Any, pods: Any, ended: Any, *rest: Any) -> Any:
        return missing(job, file, rounds, pods, (), *rest)

    patch.setattr(rounds_module, "next_round", lambda file, known, ended: following(file, known, ()))
    patch.setattr(pods_module, "missing", made)


def suspended_pods_run_on(patch: Patch) -> None:
    """Suspension is said at once, and its pods live."""
    proper = stopping_module.stop

    def stop(job: Any, status: Any, intent: Any, seen: Any, *rest: Any) -> Any:
        if intent is stopping_module.SUSPEND:
            return stopping_module.suspended(status, seen and rest[0])
        return proper(job, status, intent, seen, *rest)

    patch.setattr(stopping_module, "stop", stop)


OF_DECISIONS = (
    Bug(intent_not_written, "no-image/crash-after-commit/{delete}", "pods were preempted"),
    Bug(foreign_blocks_count, "foreign-report/reference", "ended differently"),
    Bug(ledger_forgotten, "hundred-inputs/crash-after-commit/{status:3}", "completed_inputs lost"),
    Bug(announced_before_the_pods_are_gone, "bad-config/reference", "and its job has ended"),
    Bug(refused_pods_are_tried_at_once, "quota-none/reference", "still go on"),
    Bug(counted_with_every_look, "retry-then-success/reference", "pods failed"),
    Bug(attempt_reused, "deleted-by-hand/reference", "pods were preempted"),
    Bug(replaced_before_it_ended, "preempt-one-of-three/reference", "2 live pods of"),
    Bug(preemption_is_a_retry, "preempt-one-of-three/reference", "pods failed"),
    Bug(exit_137_is_a_preemption, "oom-killed/reference", "pods were preempted"),
    Bug(each_pod_of_a_round_counts, "drain-of-3-of-8-whole-round/reference", "pods were preempted"),
    Bug(no_backoff_in_status, "one-index-fails-3-times/reference", "its predecessor failed"),
    Bug(retry_limit_off_by_one, "retries-exhausted/reference", "ended differently"),
    Bug(retry_request_handled_again, "retry-requested/reference", "the status of a FAILED job changed"),
    Bug(cancel_beats_completion, "cancel-beats-nothing-done/reference", "COMPLETED to CANCELLED"),
    Bug(finished_inputs_repeated, "preempt-and-resume/reference", "which is completed"),
    Bug(suspended_pods_run_on, "suspend-and-resume/reference", "and its job is PENDING"),
)
