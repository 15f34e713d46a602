"""Seeded bugs of the queue: who is admitted, who gives way, what is remembered and what is told. See bugs."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from batch_operator.api.v1alpha1.batch_queue import QueueRecord
from batch_operator.handlers.scheduler import Scheduler
from batch_operator.handlers.telling import Telling
from batch_operator.reconcile import losses as losses_module
from batch_operator.reconcile import queue_entry as entry_module
from batch_operator.reconcile import status as status_module
from batch_operator.scheduling import schedule as schedule_module
from batch_operator.scheduling.line import Line
from batch_operator.scheduling.standing import Standing
from batch_operator.snapshot import Displaced
from tests.unit.faults.bugs import Bug, Patch

_FAR = datetime(2020, 1, 1, tzinfo=UTC)


def grants_forgotten(patch: Patch) -> None:
    """Between decision and write a granted job holds nothing: its quota is given away again."""
    proper = Scheduler._cluster

    def cluster(self: Any) -> Any:
        found = proper(self)
        held = tuple(h for h in found.holders if h.uid not in self._seen.granted)
        return replace(found, holders=held)

    patch.setattr(Scheduler, "_cluster", cluster)


def freed_while_pods_terminate(patch: Patch) -> None:
    """A job that is being stopped holds no quota any more."""
    proper = entry_module.entry

    def entry(job: Any, *rest: Any) -> Any:
        stopping = job.status.ledger is not None and job.status.ledger.stopping is not None
        return None if stopping else proper(job, *rest)

    patch.setattr(entry_module, "entry", entry)


def orphans_hold_nothing(patch: Patch) -> None:
    """The pods of a job that is no more still run, and their quota is given away."""
    patch.setattr(entry_module, "orphaned", lambda uid, pods: None)


def freed_quota_to_anybody(patch: Patch) -> None:
    """What victims give up is not kept for the job that they gave way to."""
    patch.setattr(Line, "_claim", lambda self, job, needs, names, kept: self.claims.update({job.uid: names}))


def victims_are_victims_for_ever(patch: Patch) -> None:
    """A job that has given way is told so again once it is admitted again."""
    proper = Scheduler._forget_what_status_says

    def forget(self: Any) -> None:
        kept = dict(self._seen.displaced), dict(self._displaced_at)
        proper(self)
        self._seen.displaced.update(kept[0])
        self._displaced_at.update(kept[1])

    patch.setattr(Scheduler, "_forget_what_status_says", forget)
    patch.setattr(Displaced, "concerns", lambda self, admission: True)


def each_pod_of_a_victim_counts(patch: Patch) -> None:
    """A displaced job of two pods is two preemptions."""
    proper = losses_module.displaced

    def displaced(rounds: Any, counts: Any, *rest: Any) -> Any:
        extra = sum(len(known.open_indexes) for known in rounds.values()) - 1
        return proper(rounds, replace(counts, preemptions=counts.preemptions + extra), *rest)

    patch.setattr(losses_module, "displaced", displaced)


def displaced_uncounted(patch: Patch) -> None:
    """To give way costs nothing."""
    proper = losses_module.displaced

    def displaced(rounds: Any, counts: Any, *rest: Any) -> Any:
        return replace(proper(rounds, counts, *rest), counts=counts)

    patch.setattr(losses_module, "displaced", displaced)


def last_come_first_served(patch: Patch) -> None:
    """Among equals the youngest goes first."""
    proper = entry_module.waiting

    def waiting(job: Any) -> Any:
        found = proper(job)
        return replace(found, queued_at=_FAR - (found.queued_at - _FAR))

    patch.setattr(entry_module, "waiting", waiting)


def start_timeout_keeps_the_place(patch: Patch) -> None:
    """Who did not start in time is before his equals again."""
    proper = entry_module.waiting
    patch.setattr(entry_module, "waiting", lambda job: replace(proper(job), queued_at=job.created_at))


def priority_ignored(patch: Patch) -> None:
    """All jobs are equal."""
    proper = entry_module.waiting
    patch.setattr(entry_module, "waiting", lambda job: replace(proper(job), priority=0))


def places_are_not_told(patch: Patch) -> None:
    """Whoever waits says for ever what it said first."""
    patch.setattr(Telling, "tell", lambda self: None)


def place_is_kept(patch: Patch) -> None:
    """An admitted job still has a place in line."""
    proper = status_module.moved

    def moved(status: Any, *rest: Any, **fields: Any) -> Any:
        kept = {"queue_position": status.queue_position, "queue_depth": status.queue_depth}
        return proper(status, *rest, **(kept | fields))

    patch.setattr(status_module, "moved", moved)


def missing_queue_is_without_limit(patch: Patch) -> None:
    """Who names a Queue that is not there is admitted at once."""
    proper = Standing.queue
    patch.setattr(Standing, "queue", lambda self, name: proper(self, name) or QueueRecord(name))


def stop_is_ignored(patch: Patch) -> None:
    """A Queue that is drained goes on."""
    patch.setattr(schedule_module, "stopped", lambda queue: None)


def queue_events_are_not_heard(patch: Patch) -> None:
    """An edited Queue is looked at when something else happens."""
    patch.setattr(Scheduler, "_queue_changed", lambda self, old, new: None)


def queue_status_at_every_look(patch: Patch) -> None:
    """Written though it says the same."""
    proper = Telling.queue_status

    def queue_status(self: Any, name: str) -> Any:
        record = self._seen.queues.get_by_name("", name)
        return proper(self, name) or (record and (record, record.status))

    patch.setattr(Telling, "queue_status", queue_status)


OF_QUEUES = (
    Bug(grants_forgotten, "queue-admission/timeout-before-commit/{status:0}", "hold 2 of the 1 nvidia.com/gpu"),
    Bug(freed_while_pods_terminate, "queue-preempts-two/reference", "hold 3 of the 2 nvidia.com/gpu"),
    Bug(orphans_hold_nothing, "queue-job-deleted/reference", "hold 2 of the 1 nvidia.com/gpu"),
    Bug(freed_quota_to_anybody, "queue-preempts-two/reference", "preemption_count: 1 became 2"),
    Bug(victims_are_victims_for_ever, "queue-drained/reference", "still go on"),
    Bug(each_pod_of_a_victim_counts, "queue-drained/reference", "its queue took its quota 1 times"),
    Bug(displaced_uncounted, "queue-preempts-two/reference", "but its queue took its quota 1 times"),
    Bug(last_come_first_served, "queue-admission/reference", "three was admitted by queue gpu past two"),
    Bug(start_timeout_keeps_the_place, "queue-start-timeout/reference", "stuck was admitted by queue gpu past two"),
    Bug(priority_ignored, "queue-line/reference", "out of order: high behind two"),
    Bug(places_are_not_told, "queue-line/reference", "the places in queue gpu are [1, 2, 1]"),
    Bug(place_is_kept, "queue-admission/reference", "a ADMITTED job has place 1 of 2"),
    Bug(missing_queue_is_without_limit, "queue-deleted/reference", "hold 3 of the 2 nvidia.com/gpu"),
    Bug(stop_is_ignored, "queue-drained/reference", "ended differently"),
    Bug(queue_events_are_not_heard, "queue-edited/reference", "ended differently"),
    Bug(queue_status_at_every_look, "queue-line/reference", "changed nothing"),
)
