"""Any sequence of what may happen to a job: the oracle holds at every step, and the job ends when it is left alone.

BATCH_MODEL_EXAMPLES: how many sequences; the same ones each time. What a sequence did is printed when it fails.
"""

import asyncio
import json
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from batch_operator.api import names, ranges
from batch_operator.cluster.resource_paths import BATCH_JOBS, NAMESPACES
from tests.builders import files, make_pipeline_spec, make_spec
from tests.fakes import disruptions
from tests.fakes.faults import Fault, Kind
from tests.fakes.pod_scripts import PodPlace, Script, finishes, report
from tests.fakes.resource_types import Object
from tests.fakes.world import World
from tests.unit.faults.counting import block_of
from tests.unit.faults.invariants import Judge
from tests.unit.faults.scenario import JOB, NAMESPACE, publish
from tests.unit.faults.status_rules import TERMINAL

EXAMPLES = int(os.environ.get("BATCH_MODEL_EXAMPLES", "50"))
LONGEST_SECONDS = 6000.0
PATH = BATCH_JOBS.path(NAMESPACE, JOB)
FAULTS = (
    Kind.CRASH_BEFORE,
    Kind.CRASH_AFTER_COMMIT,
    Kind.CRASH_AFTER_REPLY,
    Kind.CONFLICT,
    Kind.NOT_FOUND,
    Kind.INVALID,
    Kind.TOO_MANY,
    Kind.SERVER_ERROR,
    Kind.TIMEOUT_BEFORE,
    Kind.TIMEOUT_AFTER,
    Kind.RESET_AFTER,
    Kind.WATCH_LATE,
    Kind.WATCH_REPEATS,
    Kind.WATCH_SWAPS,
    Kind.WATCH_FROZEN,
    Kind.WATCH_GONE,
    Kind.WATCH_DROPS,
)
LOST = (
    disruptions.preempted,
    disruptions.evicted,
    disruptions.deleted_by_hand,
    disruptions.evicted_for_its_own_limit,
    disruptions.evicted_under_pressure,
    disruptions.node_deleted,
)
PLACES = st.integers(0, 7)


class JobModel(RuleBasedStateMachine):
    """One job in one world. Pods run until a rule ends them; in the end all of them finish."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = World(self._script, nodes={f"node-{number}": 64 for number in range(4)})
        self.judge = Judge(self.world.stopped)
        self.judged = 0
        self.requests = 0
        self.nodes_lost = 0
        self.left_alone = False

    @initialize(
        parallelism=st.integers(1, 3),
        count=st.integers(1, 5),
        scope=st.sampled_from(["Index", "Job"]),
        retries=st.integers(-1, 2),
        preemptions=st.sampled_from([-1, 1]),
    )
    def apply(self, parallelism: int, count: int, scope: str, retries: int, preemptions: int) -> None:
        server = self.world.server
        server.create(NAMESPACES.path(), {"metadata": {"name": NAMESPACE}})
        worker = {"image": "example.org/classify:1", "max_parallelism": 8, "restart_scope": scope}
        publish(make_pipeline_spec(components={"worker": worker}))(self.world)
        spec = make_spec(
            inputs=make_spec()["inputs"] | {"worker.inference": files(count)},
            parameters={"worker": {"parallelism": parallelism}},
            policy={"max_retries": retries, "max_preemptions": preemptions, "backoff_seconds": 5},
        )
        server.create(BATCH_JOBS.path(NAMESPACE), {"metadata": {"name": JOB}, "spec": spec}, actor="user")
        self._run(0.0)

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 15.0, 70.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self._run(seconds)

    @rule(kind=st.sampled_from(FAULTS))
    def something_will_go_wrong(self, kind: Kind) -> None:
        self.world.misfortunes.add(kind)

    @rule(away=st.sampled_from([1.0, 30.0, 200.0]))
    def the_operator_is_killed(self, away: float) -> None:
        for operator in self.world.operators:
            if operator.alive:
                operator.crash(Fault(), away)

    @precondition(lambda self: self._running())
    @rule(place=PLACES, exit_code=st.sampled_from([0, 1, 65, 75, 137]))
    def a_worker_exits(self, place: int, exit_code: int) -> None:
        pod = self._running()[place % len(self._running())]
        self.world.driver.exit(pod, exit_code, json.dumps(_done(pod)) if exit_code == 0 else "")
        self._run(0.0)

    @precondition(lambda self: self._running())
    @rule(place=PLACES, share=st.integers(1, 4))
    def a_worker_reports(self, place: int, share: int) -> None:
        pod = self._running()[place % len(self._running())]
        numbers = sorted(block_of(pod))
        done = numbers[: min(share, len(numbers) - 1)]  # the last one only with its exit
        self.world.driver.says(pod, report(ranges.format_ranges(done)))
        self._run(1.0)

    @precondition(lambda self: self._running())
    @rule(place=PLACES, happening=st.sampled_from(LOST))
    def a_pod_is_lost(self, place: int, happening: Any) -> None:
        if happening is disruptions.node_deleted:
            if self.nodes_lost == 3:
                return
            self.nodes_lost += 1
        happening(self.world, self._running()[place % len(self._running())])
        self._run(0.0)

    @rule(kind=st.sampled_from([names.CANCEL_ANNOTATION, names.RETRY_ANNOTATION]))
    def somebody_requests(self, kind: str) -> None:
        self.requests += 1
        self._patch({"metadata": {"annotations": {kind: str(self.requests)}}})

    @rule(suspend=st.booleans())
    def somebody_suspends_or_resumes(self, suspend: bool) -> None:
        self._patch({"spec": {"suspend": suspend}})

    @invariant()
    def no_rule_is_broken(self) -> None:
        for commit in self.world.server.log.all[self.judged :]:
            self.judge.see(commit)
        self.judged = len(self.world.server.log.all)
        assert not self.judge.found, "\n".join(self.judge.found)

    def teardown(self) -> None:
        """Left alone, the job ends, and then nobody writes any more."""
        try:
            if self.world.server.log.all and self._status():
                self.left_alone = True
                self._patch({"spec": {"suspend": False}})
                waited = 0.0
                while self._status() not in TERMINAL and waited < LONGEST_SECONDS:
                    for pod in self._running():
                        self.world.driver.exit(pod, 0, json.dumps(_done(pod)))
                    self._run(100.0)
                    waited += 100.0
                assert self._status() in TERMINAL, f"it is still {self._status()}: {self._job()['status']['message']}"
                self._run(700.0)  # whatever still hangs over it falls in a round of the audit at the latest
                version = self.world.server.log.version
                self._run(300.0)
                self.no_rule_is_broken()
                late = [c for c in self.world.server.log.all if c.version > version and c.actor.startswith("operator")]
                assert not late, f"it goes on writing: {late[0].resource.kind} {late[0].name}"
        finally:
            self.loop.close()

    # -- inside

    def _script(self, place: PodPlace) -> Script:
        return finishes(place, 5.0) if self.left_alone else Script(ends=None)

    def _run(self, seconds: float) -> None:
        self.loop.run_until_complete(self.world.run_for(seconds))

    def _patch(self, body: Object) -> None:
        self.world.server.patch(PATH, body, actor="user")
        self._run(0.0)

    def _job(self) -> Object:
        return self.world.server.get(PATH)

    def _status(self) -> str:
        return str((self._job().get("status") or {}).get("status", "NEW"))

    def _running(self) -> list[Object]:
        """Pods whose process runs, and whom nobody has asked to go."""
        items: list[Object] = self.world.server.list_page("/api/v1/pods")["items"]
        return [
            pod
            for pod in items
            if pod["status"].get("phase") == "Running"
            and "deletionTimestamp" not in pod["metadata"]
            and pod["spec"]["nodeName"] not in self.world.nodes.dead
        ]


def _done(pod: Object) -> Object:
    return report(ranges.format_ranges(block_of(pod)))


TestJobModel = JobModel.TestCase
TestJobModel.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
