"""First sight of a job: resolved, pinned and admitted, or refused; and the ConfigMap that holds what was pinned."""

from dataclasses import replace
from typing import Any

import pytest

from batch_operator.api.v1alpha1.batchjob import JobStatus
from batch_operator.api.v1alpha1.conditions import ConditionType, is_true
from batch_operator.snapshot import Refusal, Turn
from tests.builders import (
    NOW,
    admitted,
    after,
    files,
    make_batchjob,
    make_pipeline,
    make_pod,
    make_snapshot,
    make_spec,
    reconcile,
    seconds,
    status_of,
)


class TestFirstSight:
    def test_resolves_pins_and_admits_in_one_write(self) -> None:
        plan = reconcile(make_batchjob(), make_snapshot(), NOW)
        status = status_of(plan)
        assert status.status is JobStatus.ADMITTED
        assert status.id.startswith("job_")
        assert (status.org_id, status.name, status.pipeline_version) == ("team-a", "tep-classification", "1.1.1")
        assert status.parameters == {
            "worker": {"parallelism": 2, "config": {"batch_size": 16, "model_type": "rocket_1"}}
        }
        assert (status.retry_count, status.preemption_count) == (0, 0)
        assert status.input_progress.model_dump() == {"pending": 4, "processing": 0, "completed": 0, "failed": 0}
        assert status.created_at == status.updated_at == NOW
        assert status.observedGeneration == 1
        assert plan.job_file is not None
        assert status.ledger.spec_hash == plan.job_file.sha256
        assert status.outputs_url == f"file:///data/outputs/team-a/{status.id}"
        assert is_true(status.conditions, ConditionType.ADMITTED)
        assert plan.event is None, "a job without trouble has one Event, at its end"

    def test_a_pipeline_that_changes_under_its_name_and_version_is_read_again(self) -> None:
        for image in ("example.org/one:1", "example.org/two:1"):
            components = {"worker": {"image": image, "max_parallelism": 8}}
            plan = reconcile(make_batchjob(), make_snapshot(pipelines=(make_pipeline(components=components),)), NOW)
            assert plan.pods[0]["spec"]["containers"][0]["image"] == image

    def test_makes_a_pod_for_each_index_with_its_block_of_inputs(self) -> None:
        plan = reconcile(make_batchjob(), make_snapshot(), NOW)
        assert [p["metadata"]["annotations"]["batch-operator.dev/inputs"] for p in plan.pods] == ["0-1", "2-3"]
        assert [p["metadata"]["name"] for p in plan.pods] == ["tep-0190f3-worker-0-0", "tep-0190f3-worker-1-0"]

    def test_makes_no_more_pods_than_there_are_inputs(self) -> None:
        spec = make_spec(parameters={"worker": {"parallelism": 8}})
        assert len(reconcile(make_batchjob(spec), make_snapshot(), NOW).pods) == 4

    def test_the_same_observation_gives_the_same_plan(self) -> None:
        assert reconcile(make_batchjob(), make_snapshot(), NOW) == reconcile(make_batchjob(), make_snapshot(), NOW)

    def test_a_job_being_deleted_is_left_alone(self) -> None:
        job = make_batchjob(deletionTimestamp="2026-04-14T10:00:00Z")
        plan = reconcile(job, make_snapshot(), NOW)
        assert (plan.status, plan.pods, plan.configmap) == (None, (), None)


class TestBadRequest:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            pytest.param({"pipeline_type": "training"}, "pipeline_type: 'training'", id="wrong type"),
            pytest.param({"inputs": None}, "inputs.worker.inference: the pipeline requires", id="required port"),
            pytest.param(
                {"inputs": make_spec()["inputs"] | {"worker.extra": files(1)}},
                "inputs.worker.extra:",
                id="unknown port",
            ),
            pytest.param(
                {"inputs": make_spec()["inputs"] | {"worker.n_shots": files(2)}},
                r"inputs.worker.n_shots\[0\].metadata.class: missing for file 'day_0.csv'",
                id="reference without class",
            ),
            pytest.param({"parameters": {"other": {}}}, "parameters.other:", id="unknown component"),
            pytest.param(
                {"parameters": {"worker": {"parallelism": 9}}}, "parameters.worker.parallelism: 9", id="too many pods"
            ),
            pytest.param(
                {"parameters": {"worker": {"config": {"batch_size": 0}}}},
                "parameters.worker.config.batch_size: 0 is less than",
                id="config against the schema",
            ),
            pytest.param(
                {"parameters": {"worker": {"config": {"model_type": "x"}}}},
                "parameters.worker.config.model_type: cannot be set",
                id="locked config",
            ),
        ],
    )
    def test_fails_at_once_naming_the_path(self, change: dict[str, Any], words: str) -> None:
        plan = reconcile(make_batchjob(make_spec(**change)), make_snapshot(), NOW)
        status = status_of(plan)
        assert status.status is JobStatus.FAILED
        assert status.error.code == "INVALID_REQUEST"
        assert status.error.suggestion
        assert status.failed_at == NOW
        with pytest.raises(AssertionError, match=words):
            raise AssertionError(status.error.message)
        assert not plan.pods
        assert is_true(status.conditions, ConditionType.FINISHED)
        assert plan.event is not None
        assert plan.event.type == "Warning"

    def test_a_configuration_that_nests_too_deep(self) -> None:
        deep: dict[str, Any] = {}
        for _ in range(200):
            deep = {"x": deep}
        plan = reconcile(make_batchjob(make_spec(parameters={"worker": {"config": deep}})), make_snapshot(), NOW)
        assert status_of(plan).error.code == "INVALID_REQUEST"
        assert "deeper than 64 levels" in status_of(plan).error.message

    def test_parameters_that_status_cannot_hold(self) -> None:
        open_schema = make_pipeline(user_config_schema={"worker": {"type": "object"}})
        spec = make_spec(parameters={"worker": {"config": {"table": "x" * 300_000}}})
        plan = reconcile(make_batchjob(spec), make_snapshot(pipelines=(open_schema,)), NOW)
        assert "at most 262144 are possible" in status_of(plan).error.message

    def test_a_long_wrong_value_is_not_repeated_whole(self) -> None:
        spec = make_spec(parameters={"worker": {"config": {"batch_size": "x" * 100_000}}})
        plan = reconcile(make_batchjob(spec), make_snapshot(), NOW)
        assert len(status_of(plan).error.message) == 1000

    def test_a_job_whose_status_cannot_be_read_is_left_alone(self) -> None:
        job = make_batchjob(status={"status": "SOMETHING_NEWER"})
        plan = reconcile(job, make_snapshot(), NOW)
        assert (plan.status, plan.pods) == (None, ())
        assert plan.reason == "UnreadableStatus"

    def test_error_uid_is_stable(self) -> None:
        job = make_batchjob(make_spec(pipeline_type="training"))
        uids = {status_of(reconcile(job, make_snapshot(), NOW + seconds(n))).error.error_uid for n in range(3)}
        assert len(uids) == 1
        assert uids.pop().startswith("err_")


class TestRegistry:
    def test_an_unknown_pipeline_stalls_and_goes_on_once_it_is_published(self) -> None:
        job = make_batchjob()
        plan = reconcile(job, make_snapshot(pipelines=()), NOW)
        status = status_of(plan)
        assert status.status is JobStatus.PENDING
        assert status.error.code == "INVALID_REQUEST"
        assert status.error.message == "pipeline_key 'classify' not found in registry"
        assert is_true(status.conditions, ConditionType.STALLED)
        assert status.pipeline_version is None, "a version that runs, or none"
        job = after(job, plan)
        assert reconcile(job, make_snapshot(pipelines=()), NOW + seconds(60)).status is None, "written once"

        plan = reconcile(job, make_snapshot(), NOW + seconds(90))
        status = status_of(plan)
        assert status.status is JobStatus.ADMITTED
        assert status.error is None
        assert not is_true(status.conditions, ConditionType.STALLED)
        assert len(plan.pods) == 2

    def test_a_schema_that_is_none_is_not_the_users_fault(self) -> None:
        broken = make_pipeline(user_config_schema={"worker": {"type": "no-such-type"}})
        status = status_of(reconcile(make_batchjob(), make_snapshot(pipelines=(broken,)), NOW))
        assert status.status is JobStatus.PENDING
        assert is_true(status.conditions, ConditionType.STALLED)

    def test_what_was_pinned_outlives_the_registry(self) -> None:
        job, file = admitted()
        plan = reconcile(job, make_snapshot(pipelines=(), job_file=file), NOW)
        assert len(plan.pods) == 2


class TestUnreadConfigMap:
    """A process that has just started has read none: the registry's word is as good, but for pods."""

    def test_a_job_that_runs_goes_on_without_reading_it(self) -> None:
        job, file = admitted()
        plan = reconcile(job, make_snapshot(job_file_unread=True, pods=(make_pod(0), make_pod(1))), NOW)
        assert status_of(plan).status is JobStatus.RUNNING
        assert (plan.job_file, plan.configmap, plan.read_job_file) == (file, None, False)

    @pytest.mark.parametrize("known", [True, False], ids=["made anew", "unknown"])
    def test_it_is_read_before_a_pod_is_made(self, known: bool) -> None:
        job, file = admitted()
        plan = reconcile(job, make_snapshot(job_file_unread=True, job_file=file if known else None), NOW)
        assert plan.read_job_file
        assert (plan.status, plan.pods, plan.configmap, plan.deletes) == (None, (), None, ())

    def test_it_is_read_where_the_registry_has_gone_on(self) -> None:
        job, _ = admitted()
        plan = reconcile(job, make_snapshot(job_file_unread=True, pipelines=(), pods=(make_pod(0), make_pod(1))), NOW)
        assert plan.read_job_file
        assert plan.status is None, "nobody knows yet that it was tampered with"


class TestConfigMap:
    def test_a_replaced_one_is_rebuilt_from_the_registry(self) -> None:
        job, file = admitted()
        foreign = replace(file, sha256="0" * 64)
        plan = reconcile(job, make_snapshot(job_file=foreign), NOW)
        assert plan.job_file == file
        assert plan.configmap is not None
        assert len(plan.pods) == 2

    def test_one_that_was_refused_is_tried_again_with_the_pods_at_the_latest(self) -> None:
        waits = Turn(reason="WaitingForQuota", words="no room")
        first = reconcile(make_batchjob(), make_snapshot(turn=waits), NOW)
        assert first.configmap is not None
        queued = after(make_batchjob(), first)
        refused = Refusal("Forbidden", "no ConfigMap", NOW)
        assert reconcile(queued, make_snapshot(refusal=refused, turn=waits), NOW + seconds(9)).configmap is None
        plan = reconcile(queued, make_snapshot(refusal=refused), NOW + seconds(9))
        assert len(plan.pods) == 2
        assert plan.configmap is not None

    @pytest.mark.parametrize(
        "registry",
        [
            pytest.param((), id="pipeline deleted"),
            pytest.param((make_pipeline(components={"worker": {"image": "evil"}}),), id="pipeline replaced"),
        ],
    )
    def test_where_the_registry_differs_too_the_job_fails(self, registry: tuple[Any, ...]) -> None:
        job, _ = admitted()
        plan = reconcile(job, make_snapshot(job_file=None, pipelines=registry), NOW)
        assert status_of(plan).error.code == "TAMPERED"
        assert not plan.pods
