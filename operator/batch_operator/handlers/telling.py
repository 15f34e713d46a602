"""`Telling`: who is told what the queues decided, and when: waiting jobs a few a second, and Queues' statuses.

Handed each cycle's decisions by handlers.scheduler; its chore and the Queues' keys come from the workqueue.
"""

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import chain

from batch_operator.api.v1alpha1.batch_queue import QueueRecord, QueueStatus
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.rate_limit import TokenBucket
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.handlers.keys import Chore, Key, QueueKey
from batch_operator.reconcile import queue_status
from batch_operator.reconcile.status import WORDS_AGE, has_news, words_differ
from batch_operator.scheduling import turns
from batch_operator.scheduling.decisions import Decisions
from batch_operator.scheduling.observed import Holder, WaitingJob

MOVES_PER_SECOND, MOVES_AT_ONCE = 13.0, 1.0
UNDER_WAY_AT_MOST = 2
"""Their passes may wait behind those of ten thousand new jobs, and would then all write at the same time."""
QUEUES_PER_SECOND, QUEUES_AT_ONCE = 2.0, 2.0
"""Places told anew, and Queues' statuses: together no more than 20 in any second (design section 3)."""
QUEUE_SECONDS = 1.0
"""A Queue's status is written at most this often."""
READ_AT_ONCE = 250
READ_AGAIN_SECONDS = 0.05
"""So many waiting jobs are compared with what was decided, 3 ms, and then so long others get the processor."""

Entry = WaitingJob | Holder


class Telling:
    """`entries`: the scheduler's, by job uid; `now` and `clock` as there."""

    def __init__(
        self,
        seen: Observations,
        queue: WorkQueue[Key],
        entries: Mapping[str, Entry],
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._seen = seen
        self._queue = queue
        self._entries = entries
        self._now = now
        self._clock = clock
        self._moves = TokenBucket(MOVES_PER_SECOND, MOVES_AT_ONCE, clock)
        self._statuses = TokenBucket(QUEUES_PER_SECOND, QUEUES_AT_ONCE, clock)
        self._fronts: deque[str] = deque()
        self._at_front: frozenset[str] = frozenset()
        self._round: deque[str] = deque()
        """All that wait; one that was compared goes to the end, or out where it waits no more."""
        self._in_round: set[str] = set()
        self._left = 0
        """So many of the round are still to be compared with the last decisions."""
        self._under_way: set[str] = set()
        """Who may tell, and has had no pass since."""
        self._front_is_due = True
        self._has_old_words = False
        self._queue_written: dict[str, float] = {}

    # -- waiting jobs

    def decided(self, decisions: Decisions) -> None:
        """Who may have news: those at the front, whose exact places people look at, are told in turns with the others,
        of whom the ones not reached since the cycle before come first."""
        self._fronts = deque(chain.from_iterable(decisions.fronts.values()))
        self._at_front = frozenset(self._fronts)
        self._left = len(self._round)
        for name in decisions.queues:
            self._queue.add(QueueKey(name))
        self._queue.add(Chore.TELL)

    def tell(self) -> float | None:
        """Lets as many waiting jobs say their new place as may be told now -> seconds until there is more to do."""
        decisions, now = self._seen.decisions, self._now()
        for _ in range(READ_AT_ONCE):
            front = bool(self._fronts) and (self._front_is_due or not self._left)
            if not front and not self._left:
                if self._has_old_words:
                    self._has_old_words = False
                    self._queue.add_after(Chore.SCHEDULE, WORDS_AGE.total_seconds())
                return None
            uid = self._fronts[0] if front else self._round[0]
            known = uid in self._seen.telling or (not front and uid in self._at_front)
            if not known and self._has_news(decisions, uid, now):
                if len(self._under_way) >= UNDER_WAY_AT_MOST:
                    return 1 / MOVES_PER_SECOND
                if not self._moves.take():
                    return self._moves.seconds_to_next()
                self._under_way.add(uid)
                entry = self._entries[uid]
                self._seen.telling.add(uid)
                self._queue.add((entry.namespace, entry.name))
                self._front_is_due = not front
            if front:
                self._fronts.popleft()
            else:
                self._next_of_round()
        return READ_AGAIN_SECONDS

    def _next_of_round(self) -> None:
        uid = self._round.popleft()
        self._left -= 1
        if isinstance(self._entries.get(uid), WaitingJob):
            self._round.append(uid)
        else:
            self._in_round.discard(uid)

    def waits(self, uid: str) -> None:
        """The job waits, or waits for something else; it is compared from the next decisions on."""
        if uid not in self._in_round:
            self._in_round.add(uid)
            self._round.append(uid)

    def tried(self, uid: str) -> None:
        """The job had a pass, well or not; one that failed tells when it is repeated."""
        self._under_way.discard(uid)

    def told(self, uid: str) -> None:
        """A pass over the job went well: whatever it was to tell is written."""
        if uid in self._seen.telling:
            self._seen.telling.discard(uid)
            self._fronts.append(uid)  # what was decided meanwhile
            self._queue.add(Chore.TELL)

    def forget(self, uid: str) -> None:
        """The job is gone."""
        self._under_way.discard(uid)
        self._seen.telling.discard(uid)

    def _has_news(self, decisions: Decisions, uid: str, now: datetime) -> bool:
        job = self._seen.jobs.get(uid)
        if job is None or uid in self._seen.granted or not isinstance(self._entries.get(uid), WaitingJob):
            return False
        if job.status.status is None or job.spec.suspend:  # not told of it yet, or not by its queue
            return False
        if self._is_unread(job):  # after a start: that its queue is closed to it is not known yet
            return False
        turn = turns.of(decisions, uid, job.spec.queue, tell=True)
        if turn is None or has_news(job.status, turn, now):
            return turn is not None
        self._has_old_words |= words_differ(job.status, turn)
        return False

    def _is_unread(self, job: BatchJob) -> bool:
        queue = self._seen.queues.get_by_name("", job.spec.queue)
        return queue is not None and queue.asks_for_labels and job.namespace not in self._seen.namespace_labels

    # -- Queues

    def queue_status(self, name: str) -> tuple[QueueRecord, QueueStatus] | None:
        """What a Queue's status should say; None where it does, or where there is none."""
        record = self._seen.queues.get_by_name("", name)
        state = self._seen.decisions.queues.get(name)
        if record is None or state is None:
            return None
        wanted = queue_status.wanted(record, state, self._first(name), self._now())
        return None if wanted == record.status else (record, wanted)

    def wait_to_write(self, queue: str) -> float:
        """0, and it counts as written, where the Queue's status may be written now; else the seconds to wait."""
        wait = self._queue_written.get(queue, 0.0) + QUEUE_SECONDS - self._clock()
        if wait > 0:
            return wait
        if not self._statuses.take():
            return self._statuses.seconds_to_next()
        self._queue_written[queue] = self._clock()
        return 0.0

    def forget_queue(self, name: str) -> None:
        """The Queue is gone."""
        self._queue_written.pop(name, None)

    def _first(self, queue: str) -> str:
        """The first in a queue's line and what it waits for."""
        uid = next(iter(self._seen.decisions.fronts.get(queue, ())), "")
        entry, turn = self._entries.get(uid), turns.of(self._seen.decisions, uid, queue, tell=False)
        return f"{entry.namespace}/{entry.name}: {turn.words}" if entry is not None and turn is not None else ""
