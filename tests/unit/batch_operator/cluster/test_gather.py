"""What gather asks the API server for, and what it makes of the answers."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from batch_operator.api import names
from batch_operator.api.job_file import JobFile
from batch_operator.api.v1alpha1.batch_queue import LabelSelector, QueueRecord
from batch_operator.api.v1alpha1.batchjob import BatchJob
from batch_operator.cluster.client import Listing
from batch_operator.cluster.errors import NotFound
from batch_operator.cluster.gather import job_snapshot, with_job_file
from batch_operator.cluster.observations import Observations
from batch_operator.reconcile import queue_entry
from batch_operator.resources.configmap import configmap
from batch_operator.scheduling.decisions import Decisions, Pending, Why
from batch_operator.snapshot import Displaced, NodeRecord, RuleSettings, Turn
from tests.builders import (
    NOW,
    admitted,
    make_batchjob,
    make_pipeline,
    make_pod,
    make_queued_job,
    make_raw_pod,
    make_snapshot,
    make_spec,
    run_to,
)
from tests.unit.batch_operator.reconcile.course import Course, inputs

NODE = NodeRecord("node-1", "node-uid", "10", ready=True, out_of_service=False)


class Reader:
    """An API server of a few objects, that counts how often it is asked."""

    def __init__(self, objects: dict[str, Any]) -> None:
        self.objects = objects
        self.nodes: list[NodeRecord] = []
        self.asked: list[str] = []

    async def get(self, path: str) -> Any:
        self.asked.append(path)
        if path not in self.objects:
            raise NotFound(404, "NotFound", path)
        return self.objects[path]

    async def list_as(self, path: str, decode: Any, params: Any = None) -> Listing[Any]:
        """Of nodes, by name: those that have been put in as records."""
        self.asked.append(f"{path}?{params['fieldSelector']}")
        name = params["fieldSelector"].partition("=")[2]
        return Listing(tuple(node for node in self.nodes if node.name == name), "1")


CONFIG_MAP = f"/api/v1/namespaces/team-a/configmaps/{names.configmap_name('tep', make_batchjob().uid)}"


async def snapshot_of(reader: Reader, seen: Observations, job: Any, *, org_labels: bool = False) -> Any:
    return await job_snapshot(reader, seen, job, RuleSettings(), NOW, org_labels=org_labels)


def knows(job: BatchJob, file: JobFile) -> Observations:
    seen = Observations()
    seen.job_files.keep(job.uid, file)
    return seen


async def test_a_new_job_costs_no_read() -> None:
    seen, reader = Observations(), Reader({})
    seen.pipelines.apply("ADDED", make_pipeline("own", "team-a"))
    seen.pipelines.apply("ADDED", make_pipeline("foreign", "team-b"))
    seen.cluster_pipelines.apply("ADDED", make_pipeline("shared"))
    seen.cluster_pipelines.apply("ADDED", make_pipeline("other", key="another-key"))
    found = await snapshot_of(reader, seen, make_batchjob())
    assert sorted(p.name for p in found.pipelines) == ["own", "shared"]
    assert reader.asked == []


class TestJobFile:
    """It is read where a pass asks for it, and once."""

    async def test_where_a_pod_says_that_it_was_stored_a_pass_begins_without_it(self) -> None:
        job, file = admitted()
        seen, reader = Observations(), Reader({CONFIG_MAP: configmap(job, file, "")})
        seen.pods.apply("ADDED", make_pod(0, node=""))
        snapshot = await snapshot_of(reader, seen, job)
        assert (snapshot.job_file, snapshot.job_file_unread, reader.asked) == (None, True, [])

    async def test_without_a_pod_it_is_read_at_once(self) -> None:
        """The process before may have ended between the status and the ConfigMap."""
        job, file = admitted()
        snapshot = await snapshot_of(Reader({CONFIG_MAP: configmap(job, file, "")}), Observations(), job)
        assert (snapshot.job_file, snapshot.job_file_unread) == (file, False)

    async def test_once_read_it_is_kept(self) -> None:
        job, file = admitted()
        seen, reader = Observations(), Reader({CONFIG_MAP: configmap(job, file, "")})
        seen.jobs.apply("ADDED", job)
        seen.pods.apply("ADDED", make_pod(0, node=""))
        snapshot = await with_job_file(reader, seen, job, await snapshot_of(reader, seen, job), NOW)
        assert (snapshot.job_file, snapshot.job_file_unread) == (file, False)
        snapshot = await snapshot_of(reader, seen, job)
        assert (snapshot.job_file, snapshot.job_file_unread) == (file, False)
        assert reader.asked == [CONFIG_MAP]

    async def test_one_that_was_made_anew_stays_unread(self) -> None:
        job, file = admitted()
        seen = Observations()
        seen.jobs.apply("ADDED", job)
        seen.pods.apply("ADDED", make_pod(0, node=""))
        seen.keep_job_file(job.uid, file, unread=True)
        snapshot = await snapshot_of(Reader({}), seen, job)
        assert (snapshot.job_file, snapshot.job_file_unread) == (file, True)

    async def test_a_job_that_is_resolved_first_has_none_to_read(self) -> None:
        assert not (await snapshot_of(Reader({}), Observations(), make_batchjob())).job_file_unread

    @pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "missing"])
    async def test_what_is_not_the_pinned_one_is_none(self, replaced: bool) -> None:
        job, file = admitted()
        _, other = admitted(make_batchjob({**make_batchjob().spec.model_dump(exclude_none=True), "name": "other"}))
        seen, reader = Observations(), Reader({CONFIG_MAP: configmap(job, other, "")} if replaced else {})
        seen.jobs.apply("ADDED", job)
        seen.keep_job_file(job.uid, file, unread=True)
        snapshot = await with_job_file(reader, seen, job, await snapshot_of(reader, seen, job), NOW)
        assert (snapshot.job_file, snapshot.job_file_unread) == (None, False)
        assert seen.job_files.get(job.uid) is None


async def test_pods_and_their_reports_come_by_owner() -> None:
    seen = Observations()
    pod = make_pod(0, node="")
    seen.pods.apply("ADDED", pod)
    seen.pods.apply("ADDED", make_pod(1, owner_uid="another-job"))
    assert (await snapshot_of(Reader({}), seen, make_batchjob())).pods == (pod,)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [pytest.param({names.ORG_ID_LABEL: "org_1"}, "org_1", id="label"), pytest.param({}, "team-a", id="no label")],
)
async def test_the_organization_is_the_namespaces_label(labels: dict[str, str], expected: str) -> None:
    seen, reader = Observations(), Reader({"/api/v1/namespaces/team-a": {"metadata": {"labels": labels}}})
    for _ in range(2):
        assert (await snapshot_of(reader, seen, make_batchjob(), org_labels=True)).org_id == expected
    assert len(reader.asked) == 1


class TestKueuesLabelsOnTheNamespace:
    LABELS: ClassVar = {"kueue.x-k8s.io/queue-name": "gpu"}
    WAITING: ClassVar = {"status": "PENDING", "conditions": []}
    RUNNING: ClassVar = {"status": "RUNNING", "conditions": []}

    async def found(self, status: Any, *, on: bool, second: float = 0, seen: Observations | None = None) -> Any:
        reader = Reader({"/api/v1/namespaces/team-a": {"metadata": {"labels": self.LABELS}}})
        moment, job = NOW + timedelta(seconds=second), make_batchjob(status=status)
        snapshot = await job_snapshot(
            reader, seen or Observations(), job, RuleSettings(), moment, org_labels=False, namespace_labels=on
        )
        return snapshot.namespace_labels, len(reader.asked)

    @pytest.mark.parametrize("status", [{}, WAITING], ids=["new", "waiting"])
    async def test_they_are_read_where_the_setting_says_so(self, status: Any) -> None:
        assert await self.found(status, on=True) == (self.LABELS, 1)
        assert await self.found(status, on=False) == (None, 0)

    async def test_a_job_that_runs_needs_them_no_more(self) -> None:
        assert await self.found(self.RUNNING, on=True) == (None, 0)

    async def test_once_a_minute_is_enough(self) -> None:
        seen = Observations()
        assert await self.found({}, on=True, seen=seen) == (self.LABELS, 1)
        assert await self.found({}, on=True, second=59, seen=seen) == (self.LABELS, 0)
        assert await self.found({}, on=True, second=60, seen=seen) == (self.LABELS, 1)


@pytest.mark.parametrize(
    ("node", "second", "gone", "unready"),
    [
        pytest.param(NODE, 0, False, False, id="ready"),
        pytest.param(replace(NODE, ready=False), 9999, False, True, id="not ready: the pod may still run there"),
        pytest.param(replace(NODE, out_of_service=True), 0, True, False, id="declared dead"),
        pytest.param(None, 39, False, True, id="missing, but its event may be on the way"),
        pytest.param(None, 40, True, True, id="missing for good"),
    ],
)
async def test_a_pod_without_a_node_does_not_run(
    node: NodeRecord | None, second: float, gone: bool, unready: bool
) -> None:
    seen, job = Observations(), make_batchjob()
    seen.pods.apply("ADDED", make_pod(0))
    if node is not None:
        seen.nodes.apply("ADDED", node)
    await job_snapshot(Reader({}), seen, job, RuleSettings(), NOW, org_labels=False)
    found = await job_snapshot(Reader({}), seen, job, RuleSettings(), NOW + timedelta(seconds=second), org_labels=False)
    assert (found.pods[0].node_gone, found.pods[0].node_unready) == (gone, unready)
    assert found.pods[0].is_live is not gone


class TestVanishedPods:
    """A pod that status says was there, and no store has."""

    POD = f"/api/v1/namespaces/team-a/pods/{make_pod(1).name}"

    async def observed(self) -> tuple[Any, Any]:
        job, file = admitted()
        return run_to(job, make_snapshot(job_file=file, pods=(make_pod(0), make_pod(1))))[0], file

    async def test_the_server_says_that_it_is_gone(self) -> None:
        job, file = await self.observed()
        seen = knows(job, file)
        seen.pods.apply("ADDED", make_pod(0))
        reader = Reader({})
        found = await snapshot_of(reader, seen, job)
        assert [(p.index, p.attempt, p.deleted) for p in found.pods] == [(0, 0, False), (1, 0, True)]
        assert reader.asked == [self.POD, self.POD], "one 404 may be a proxy's"
        await snapshot_of(reader, seen, job)
        assert len(reader.asked) == 2, "not with every pass"

    async def test_a_store_that_lags_is_not_believed(self) -> None:
        job, file = await self.observed()
        seen = knows(job, file)
        seen.pods.apply("ADDED", make_pod(0))
        reader = Reader({self.POD: make_raw_pod(make_pod(1))})
        found = await snapshot_of(reader, seen, job)
        assert [p.is_live for p in found.pods] == [True, True]

    async def test_what_was_never_seen_is_not_asked_for(self) -> None:
        job, file = admitted()
        reader = Reader({})
        await snapshot_of(reader, knows(job, file), job)
        assert reader.asked == []


async def test_a_pod_that_does_not_start_makes_it_look_for_the_configmap_again() -> None:
    job, file = admitted()
    seen, reader = Observations(), Reader({CONFIG_MAP: configmap(job, file, "")})
    seen.jobs.apply("ADDED", job)
    seen.pods.apply("ADDED", make_pod(0, "Pending", waiting_reason="ContainerCreating"))
    seen.nodes.apply("ADDED", NODE)
    await with_job_file(reader, seen, job, await snapshot_of(reader, seen, job), NOW)
    del reader.objects[CONFIG_MAP]
    for second, expected in ((10, file), (40, None)):
        found = await job_snapshot(reader, seen, job, RuleSettings(), NOW + timedelta(seconds=second), org_labels=False)
        assert found.job_file == expected
    assert reader.asked == [CONFIG_MAP] * 3, "and twice before it is believed to be gone"


class TestMissingNodes:
    def of(self, *pods: Any) -> Observations:
        seen = Observations()
        for pod in pods:
            seen.pods.apply("ADDED", pod)
        return seen

    async def at(self, seconds: float, reader: Reader, seen: Observations) -> Any:
        now = NOW + timedelta(seconds=seconds)
        return await job_snapshot(reader, seen, make_batchjob(), RuleSettings(), now, org_labels=False)

    async def test_the_server_is_asked_before_one_counts_as_gone(self) -> None:
        """The watch of nodes may be silent for 75 s before it is ended: longer than the quarantine."""
        reader, seen = Reader({}), self.of(make_pod(0))
        reader.nodes.append(NODE)
        await self.at(0, reader, seen)
        assert (await self.at(41, reader, seen)).pods[0].is_live
        assert reader.asked == ["/api/v1/nodes?metadata.name=node-1"]

    async def test_it_is_asked_once(self) -> None:
        reader, seen = Reader({}), self.of(make_pod(0))
        for second in (0, 41, 42, 43):
            await self.at(second, reader, seen)
        assert len(reader.asked) == 1

    async def test_a_later_pod_on_a_node_of_that_name_gets_its_own_quarantine(self) -> None:
        reader, seen = Reader({}), self.of(make_pod(0, uid="a"))
        await self.at(0, reader, seen)
        seen.pods.apply("DELETED", make_pod(0, "Failed", uid="a", resource_version="201"))
        seen.pods.apply("ADDED", make_pod(1, uid="b", resource_version="300"))
        assert not any(pod.node_gone for pod in (await self.at(3600, reader, seen)).pods)


async def test_no_pod_is_asked_for_while_a_job_is_suspended() -> None:
    course = Course(inputs(4, 4)).at(0).runs(0, 1, 2, 3).at(3).spec_changes(suspend=True).at(4)
    for index in range(4):
        course.gone(index)
    reader = Reader({})
    await snapshot_of(reader, Observations(), course.at(5).job)
    assert not [path for path in reader.asked if "/pods/" in path]


NAMESPACE = "/api/v1/namespaces/team-a"


def by_labels(key: str = "tier") -> Observations:
    """A Queue that selects namespaces by this label."""
    selector = LabelSelector.model_validate({"match_expressions": [{"key": key, "operator": "Exists"}]})
    seen = Observations()
    seen.queues.apply("ADDED", QueueRecord("research", "q", "1", selector=selector))
    return seen


@pytest.mark.parametrize(
    ("objects", "labels"),
    [({NAMESPACE: {"metadata": {"labels": {"tier": "gold"}}}}, {"tier": "gold"}), ({}, None)],
    ids=["read", "not-to-be-had"],
)
async def test_a_namespaces_labels_are_read_once_for_a_queue_that_asks(objects: Any, labels: Any) -> None:
    seen, reader = by_labels(), Reader(objects)
    for name in ("one", "two"):
        await snapshot_of(reader, seen, make_batchjob(make_spec(queue="research"), name=name))
    await snapshot_of(reader, seen, make_batchjob(make_spec(queue="another")))
    assert reader.asked == [NAMESPACE]
    assert seen.namespace_labels["team-a"].labels == labels


async def test_a_namespaces_name_is_no_label_to_read() -> None:
    reader = Reader({})
    seen = by_labels("kubernetes.io/metadata.name")
    await snapshot_of(reader, seen, make_batchjob(make_spec(queue="research")))
    assert reader.asked == []


class TestTurn:
    async def turn(self, seen: Observations, **changes: Any) -> Any:
        return (await snapshot_of(Reader({}), seen, make_queued_job("one", **changes))).turn

    async def test_none_before_its_queue_has_looked_at_it(self) -> None:
        assert await self.turn(Observations()) is None

    async def test_granted_for_its_shape_in_its_queue_only(self) -> None:
        seen, asks = Observations(), queue_entry.waiting(make_queued_job("one"))
        seen.granted["one"] = asks
        assert await self.turn(seen) == Turn(is_granted=True, shape=asks.shape)
        assert await self.turn(seen, queue="another") is None

    @pytest.mark.parametrize("tell", [True, False])
    async def test_what_it_waits_for(self, tell: bool) -> None:
        seen = Observations()
        pending = Pending(Why.QUEUE_NOT_FOUND, "there is no Queue research")
        seen.decisions = Decisions(pending={"one": pending}, positions={"one": 15}, depths={"research": 120})
        seen.telling = {"one"} if tell else set()
        found = await self.turn(seen)
        assert (found.reason, found.words, found.is_stalled) == ("QueueNotFound", "there is no Queue research", True)
        assert (found.position, found.depth, found.tell) == (20, 200, tell)

    async def test_displaced(self) -> None:
        seen, why = Observations(), Displaced("gives way", "high")
        seen.displaced["one"] = why
        assert (await snapshot_of(Reader({}), seen, make_queued_job("one", state="RUNNING"))).displaced == why


class TestPriority:
    CLASS = "/apis/scheduling.k8s.io/v1/priorityclasses/urgent"

    async def priority(self, reader: Reader, seen: Observations, state: str = "PENDING", name: str = "urgent") -> int:
        job = make_queued_job("one", state=state)
        job = job.model_copy(update={"spec": job.spec.model_copy(update={"priority_class_name": name})})
        return int((await snapshot_of(reader, seen, job)).priority)

    async def test_it_is_read_once(self) -> None:
        seen, reader = Observations(), Reader({self.CLASS: {"value": 1000}})
        assert [await self.priority(reader, seen) for _ in range(3)] == [1000] * 3
        assert reader.asked.count(self.CLASS) == 1

    async def test_a_class_that_is_not_there_is_asked_for_again(self) -> None:
        seen, reader = Observations(), Reader({})
        assert await self.priority(reader, seen) == 0
        reader.objects[self.CLASS] = {"value": 7}
        assert await self.priority(reader, seen) == 7

    @pytest.mark.parametrize("name", [".", "..", "a/b", "%", "Ê", "Upper", "-a"])
    async def test_what_is_no_name_is_never_asked_for(self, name: str) -> None:
        seen, reader = Observations(), Reader({})
        assert await self.priority(reader, seen, name=name) == 0
        assert not [path for path in reader.asked if "priorityclasses" in path]

    async def test_of_an_admitted_job_nobody_asks(self) -> None:
        seen, reader = Observations(), Reader({self.CLASS: {"value": 1000}})
        assert await self.priority(reader, seen, "RUNNING") == 0
        assert self.CLASS not in reader.asked
