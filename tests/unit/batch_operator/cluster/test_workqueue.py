import asyncio
import random
from collections import Counter, defaultdict

import pytest

from batch_operator.cluster.workqueue import QueueShutDown, WorkQueue, run_workers
from tests.unit.batch_operator.cluster.clocks import FakeTimers


@pytest.fixture
def timers() -> FakeTimers:
    return FakeTimers()


@pytest.fixture
def queue(timers: FakeTimers) -> WorkQueue[str]:
    return WorkQueue(timers=timers)


async def drained(queue: WorkQueue[str]) -> str:
    """The keys that are ready, each worked on for no time."""
    keys = ""
    while len(queue):
        key = await queue.get()
        keys += key
        queue.done(key)
    return keys


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_keys_come_in_the_order_of_their_first_add(queue: WorkQueue[str]) -> None:
    for key in "abcab":
        queue.add(key)
    assert len(queue) == 3
    assert await drained(queue) == "abc"


async def test_a_key_added_many_times_while_worked_on_runs_exactly_once_more(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    for _ in range(100):
        queue.add("a")
    assert len(queue) == 0, "nobody else may get a key that is being worked on"
    queue.done("a")
    assert await drained(queue) == "a"


async def test_urgent_keys_come_first(timers: FakeTimers) -> None:
    queue = WorkQueue[str](timers=timers, urgent=str.isupper)
    for key in "abC":
        queue.add(key)
    queue.add("d", first=True)
    assert await drained(queue) == "dCab"


async def test_get_waits_for_a_key(queue: WorkQueue[str]) -> None:
    waiting = asyncio.create_task(queue.get())
    await settle()
    assert not waiting.done()
    queue.add("a")
    assert await waiting == "a"


async def test_a_worker_that_is_cancelled_while_it_waits_takes_no_key_along(queue: WorkQueue[str]) -> None:
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await settle()
    queue.add("a")  # wakes the first, which is cancelled before it runs
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"


async def test_of_several_times_the_earliest_counts(queue: WorkQueue[str], timers: FakeTimers) -> None:
    queue.add_after("a", 20)
    queue.add_after("a", 5)
    queue.add_after("a", 10)
    assert queue.scheduled == 1
    timers.advance(4.9)
    assert len(queue) == 0
    timers.advance(0.1)
    assert await drained(queue) == "a"
    timers.advance(100)
    assert len(queue) == 0, "the later times are gone with the earliest"


async def test_a_new_time_after_the_key_was_due_counts_again(queue: WorkQueue[str], timers: FakeTimers) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    timers.advance(5)
    assert await drained(queue) == "a"
    queue.add_after("a", 20)
    timers.advance(5)  # the time of the first call, superseded
    assert len(queue) == 0
    timers.advance(15)
    assert await drained(queue) == "a"


async def test_different_keys_keep_their_own_times(queue: WorkQueue[str], timers: FakeTimers) -> None:
    for key, seconds in (("c", 3), ("a", 1), ("b", 2)):
        queue.add_after(key, seconds)
    queue.add_after("now", 0)
    timers.advance(3)
    assert await drained(queue) == "nowabc"


async def test_back_off_doubles_to_its_cap_until_forgotten(queue: WorkQueue[str], timers: FakeTimers) -> None:
    delays = []
    for _ in range(12):
        delays.append(queue.add_with_backoff("a"))
        timers.advance(60)
    assert delays == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0]
    assert queue.failures("a") == 12
    queue.forget("a")
    assert queue.failures("a") == 0
    assert queue.add_with_backoff("a") == 0.05


async def test_back_off_waits_as_long_as_the_server_asked(queue: WorkQueue[str], timers: FakeTimers) -> None:
    assert queue.add_with_backoff("a", at_least=7) == 7
    timers.advance(6.9)
    assert len(queue) == 0
    timers.advance(0.1)
    assert len(queue) == 1


async def test_a_thousand_failures_do_not_overflow(queue: WorkQueue[str], timers: FakeTimers) -> None:
    for _ in range(1100):
        queue.add_with_backoff("a")
        timers.advance(60)
    assert queue.add_with_backoff("a") == 60.0


async def test_never_two_workers_on_one_key_and_no_add_is_lost() -> None:
    queue: WorkQueue[int] = WorkQueue()
    chance = random.Random(7)
    busy: set[int] = set()
    wanted: Counter[int] = Counter()
    served: dict[int, int] = defaultdict(int)
    runs = 0

    async def handler(key: int) -> None:
        nonlocal runs
        assert key not in busy
        busy.add(key)
        seen = wanted[key]  # as a reconcile reads the state when it begins
        for _ in range(chance.randint(0, 4)):
            await asyncio.sleep(0)
        busy.discard(key)
        served[key] = max(served[key], seen)
        runs += 1

    workers = asyncio.create_task(run_workers(queue, 8, handler))
    for number in range(5000):
        key = chance.randrange(20)
        wanted[key] += 1
        queue.add(key)
        if number % 7 == 0:
            await asyncio.sleep(0)
    while len(queue) or queue.processing:
        await asyncio.sleep(0)
    queue.shut_down()
    await workers
    assert served == dict(wanted), "the last run of each key began after its last add"
    assert runs < 5000, "adds were coalesced"


async def test_others_come_to_their_turn_between_handlers_that_never_wait(queue: WorkQueue[str]) -> None:
    """The renewal of the lead is one of them."""
    worked = 0
    seen: list[int] = []

    async def handler(key: str) -> None:
        nonlocal worked
        worked += 1

    async def another() -> None:
        while worked < 100:
            await asyncio.sleep(0)
            seen.append(worked)

    for number in range(100):
        queue.add(str(number))
    workers = asyncio.create_task(run_workers(queue, 2, handler))
    await another()
    queue.shut_down()
    await workers
    assert len(set(seen)) >= 50, "it ran after every two keys at the latest"


async def test_a_handler_that_raises_gets_its_key_back_after_the_back_off(
    queue: WorkQueue[str], timers: FakeTimers
) -> None:
    calls: list[str] = []
    failures: list[tuple[str, str]] = []

    async def handler(key: str) -> None:
        calls.append(key)
        if len(calls) < 3:
            raise ValueError("boom")

    def on_error(key: str, error: Exception) -> float | None:
        failures.append((key, str(error)))
        return 3.0 if len(failures) == 2 else None

    workers = asyncio.create_task(run_workers(queue, 2, handler, on_error))
    queue.add("a")
    await settle()
    assert (calls, queue.scheduled) == (["a"], 1)
    timers.advance(0.05)
    await settle()
    assert calls == ["a", "a"]
    timers.advance(2.9)  # the second time on_error asked for 3 s
    await settle()
    assert calls == ["a", "a"]
    timers.advance(0.1)
    await settle()
    assert calls == ["a", "a", "a"]
    assert failures == [("a", "boom")] * 2
    assert queue.failures("a") == 0, "a success forgets the failures"
    queue.shut_down()
    await workers


async def test_an_error_handler_that_raises_costs_neither_key_nor_worker(
    queue: WorkQueue[str], timers: FakeTimers
) -> None:
    calls: list[str] = []

    async def handler(key: str) -> None:
        calls.append(key)
        raise ValueError("boom")

    def on_error(key: str, error: Exception) -> float | None:
        raise RuntimeError("worse")

    workers = asyncio.create_task(run_workers(queue, 1, handler, on_error))
    queue.add("a")
    await settle()
    timers.advance(0.05)
    await settle()
    assert calls == ["a", "a"]
    queue.shut_down()
    await workers


async def test_a_handler_may_ask_to_be_called_again(queue: WorkQueue[str], timers: FakeTimers) -> None:
    calls: list[float] = []

    async def handler(key: str) -> float:
        calls.append(timers.now)
        return 30.0

    workers = asyncio.create_task(run_workers(queue, 1, handler))
    queue.add("a")
    await settle()
    timers.advance(29)
    await settle()
    assert len(calls) == 1
    timers.advance(1)
    await settle()
    assert calls == [1000.0, 1030.0]
    queue.shut_down()
    await workers


async def test_shut_down_ends_all_workers_once_their_work_in_hand_is_done(queue: WorkQueue[str]) -> None:
    gate = asyncio.Event()
    done: list[str] = []

    async def handler(key: str) -> None:
        await gate.wait()
        done.append(key)

    workers = asyncio.create_task(run_workers(queue, 2, handler))
    for key in "abc":
        queue.add(key)
    queue.add_after("d", 1)
    await settle()
    queue.shut_down()
    queue.add("e")
    await settle()
    assert not workers.done()
    gate.set()
    await asyncio.wait_for(workers, 1)
    assert done == ["a", "b"]
    assert (len(queue), queue.scheduled) == (0, 0)
    with pytest.raises(QueueShutDown):
        await queue.get()


async def test_cancelling_the_workers_stops_them_at_once(queue: WorkQueue[str]) -> None:
    async def handler(key: str) -> None:
        await asyncio.Event().wait()

    workers = asyncio.create_task(run_workers(queue, 2, handler))
    queue.add("a")
    await settle()
    workers.cancel()
    with pytest.raises(asyncio.CancelledError):
        await workers
    assert queue.processing == 0


async def test_by_default_it_runs_on_the_event_loop_s_clock() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 0.01)
    assert await asyncio.wait_for(queue.get(), 1) == "a"


async def test_times_that_an_earlier_one_has_replaced_are_let_go(timers: FakeTimers, queue: WorkQueue[str]) -> None:
    queue.add_after("other", 3000)
    for _ in range(1000):
        queue.add_after("a", 3600)
        queue.add_after("a", 0.5)
        timers.advance(1)
        assert await drained(queue) == "a"
    assert len(queue._heap) < 120
    timers.advance(2000)
    assert await drained(queue) == "other"
