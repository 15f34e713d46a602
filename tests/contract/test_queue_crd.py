"""The real API server judges the Queue's schema, and what it lets through the operator can read."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from batch_operator.api import quantities
from batch_operator.api.v1alpha1.batch_queue import LabelSelector, Preemption, QueueRecord, Stop, Strategy, decode_queue
from tests.builders import make_spec
from tests.cluster.errors import ClusterError
from tests.cluster.kubectl import Kubectl

pytestmark = [pytest.mark.contract, pytest.mark.usefixtures("crds")]

API_VERSION = "batch-operator.dev/v1alpha1"
SAMPLE = Path(__file__).resolve().parents[2] / "manifests/samples/queue.yaml"
NEEDS_AN_OPERAND = {"key": "tier", "operator": "In"}


def queue(name: str = "research", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "Queue", "metadata": {"name": name}, "spec": spec}


def as_read(kubectl: Kubectl, manifest: dict[str, Any], *arguments: str) -> QueueRecord:
    """What the operator makes of the object that the API server makes of this one."""
    made = kubectl.run("create", "--dry-run=server", "-o", "json", "-f", "-", *arguments, stdin=manifest)
    raw = json.loads(made)
    raw["metadata"].setdefault("resourceVersion", "1")  # a dry run gives none
    return decode_queue(raw)


def selector(**fields: Any) -> dict[str, Any]:
    return {"namespace_selector": fields}


class TestAccepted:
    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            pytest.param({}, {"quota": {}, "selector": None, "stop": Stop.NONE}, id="nothing"),
            pytest.param({"quota": {}}, {"quota": {}}, id="empty quota"),
            pytest.param(
                {"quota": {"nvidia.com/gpu": 64, "cpu": "500m", "memory": "2Ti", "pods": "0"}},
                {"quota": {"nvidia.com/gpu": 64_000, "cpu": 500, "memory": 2000 * 2**40, "pods": 0}},
                id="numbers and words",
            ),
            pytest.param(
                {"quota": {"example.org/Fast_nic.v2": "1.5"}},
                {"quota": {"example.org/Fast_nic.v2": 1500}},
                id="any device",
            ),
            pytest.param(
                {"quota": {f"example.org/r{number}": number for number in range(32)}},
                {},
                id="as many resources as may be",
            ),
            pytest.param(
                {"strategy": "StrictFIFO", "preemption": "LowerPriority", "stop": "HoldAndDrain"},
                {
                    "strategy": Strategy.STRICT_FIFO,
                    "preemption": Preemption.LOWER_PRIORITY,
                    "stop": Stop.HOLD_AND_DRAIN,
                },
                id="words",
            ),
            pytest.param({"stop": "Hold"}, {"stop": Stop.HOLD, "problem": ""}, id="held"),
            pytest.param(
                {"min_runtime_seconds": 31_536_000, "reserve_after_seconds": 0},
                {"min_runtime": timedelta(days=365), "reserve_after": timedelta(0)},
                id="a year and no time",
            ),
            pytest.param(
                {"namespace_weights": {"team-a": 0, "team-b": 1000}},
                {"weights": {"team-a": 0, "team-b": 1000}},
                id="least and greatest weight",
            ),
            pytest.param(
                {"namespace_weights": {f"team-{number}": 1 for number in range(1000)}}, {}, id="a thousand namespaces"
            ),
            pytest.param({"require_matching_node": True}, {"require_matching_node": True}, id="matching node"),
            pytest.param({"quota": {"cpu": None, "pods": 5}, "stop": None}, {"quota": {"pods": 5000}}, id="nulls"),
        ],
    )
    def test_and_read_as_it_was_meant(self, kubectl: Kubectl, spec: dict[str, Any], expected: dict[str, Any]) -> None:
        record = as_read(kubectl, queue(**spec))
        assert record.problem == ""
        assert {field: getattr(record, field) for field in expected} == expected

    @pytest.mark.parametrize("suffix", ["", *"mkMGTP", "Ki", "Mi", "Gi", "Ti", "Pi"])
    def test_every_amount_that_the_server_takes_is_read(self, kubectl: Kubectl, suffix: str) -> None:
        amounts = ["0", "1", "007", "0.5", "1.000000001", "123456789012.345", "9" * (20 - len(suffix))]
        quota = {f"example.org/r{place}": amount + suffix for place, amount in enumerate(amounts)}
        record = as_read(kubectl, queue(quota=quota))
        assert record.problem == ""
        assert list(record.quota.values()) == [quantities.parse(amount, down=True) for amount in quota.values()]

    @pytest.mark.parametrize(
        ("given", "selects", "leaves"),
        [
            pytest.param({"match_labels": {"team": "a"}}, {"team": "a"}, {"team": "b"}, id="label"),
            pytest.param(
                {"match_labels": {"example.org/Team_1": ""}}, {"example.org/Team_1": ""}, {}, id="empty value"
            ),
            pytest.param(
                {"match_expressions": [{"key": "tier", "operator": "In", "values": ["gold", "silver"]}]},
                {"tier": "silver"},
                {},
                id="In",
            ),
            pytest.param(
                {"match_expressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]},
                {},
                {"tier": "gold"},
                id="NotIn",
            ),
            pytest.param({"match_expressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, {}, id="Exists"),
            pytest.param(
                {"match_expressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, {"a": ""}, id="DoesNotExist"
            ),
        ],
    )
    def test_selectors(
        self, kubectl: Kubectl, given: dict[str, Any], selects: dict[str, str], leaves: dict[str, str]
    ) -> None:
        read = as_read(kubectl, queue(**selector(**given))).selector
        assert isinstance(read, LabelSelector)
        assert (read.selects(selects), read.selects(leaves)) == (True, False)

    def test_the_sample(self, kubectl: Kubectl) -> None:
        objects = list(yaml.safe_load_all(SAMPLE.read_text()))
        read = [as_read(kubectl, found) for found in objects if found["kind"] == "Queue"]
        assert [(record.name, record.problem) for record in read] == [("research", ""), ("default", "")]
        assert read[0].selector is not None
        assert not read[0].selector.asks_for_labels

    @pytest.mark.parametrize("name", ["default", "a" * 63, "7"], ids=["default", "long", "digit"])
    def test_names_that_a_job_can_give(self, kubectl: Kubectl, name: str) -> None:
        assert as_read(kubectl, queue(name)).name == name


QUANTITY = "a quota is a quantity of zero or more|spec.quota.cpu in body"


class TestRefused:
    @pytest.mark.parametrize(
        "amount",
        [
            "many",
            "-1",
            -1,
            "+1",
            "",
            " 1",
            "1\n",
            ".5",
            "1.",
            "0x10",
            "1,5",
            "1e3",
            "1E",
            "1n",
            "١",
            "1Kib",
            1.5,
            True,
            [],
        ],
        ids=repr,
    )
    def test_what_is_no_quantity(self, kubectl: Kubectl, amount: Any) -> None:
        with pytest.raises(ClusterError, match=QUANTITY):
            as_read(kubectl, queue(quota={"cpu": amount}))

    @pytest.mark.parametrize("resource", ["gpu", "GPU", "ephemeral_storage", "", "nvidia.com/", "nodes", "a b/c"])
    def test_a_quota_of_what_no_pod_asks_for(self, kubectl: Kubectl, resource: str) -> None:
        with pytest.raises(ClusterError, match="a quota names what pods ask for: cpu, memory"):
            as_read(kubectl, queue(quota={resource: 1}))

    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            pytest.param({"strategy": "Random"}, 'spec.strategy: Unsupported value: "Random"', id="strategy"),
            pytest.param({"preemption": "Always"}, "spec.preemption: Unsupported value", id="preemption"),
            pytest.param({"stop": "Drain"}, 'supported values: "None", "Hold", "HoldAndDrain"', id="stop"),
            pytest.param(
                {"namespace_weights": {"team-a": -1}}, "spec.namespace_weights.team-a: .* -1", id="negative weight"
            ),
            pytest.param({"namespace_weights": {"team-a": 0.5}}, "spec.namespace_weights.team-a", id="half a weight"),
            pytest.param(
                {"namespace_weights": {"team-a": "2"}}, "spec.namespace_weights.team-a", id="weight in quotes"
            ),
            pytest.param(
                {"namespace_weights": {"Team A": 1}}, "namespace_weights names namespaces", id="weight of no namespace"
            ),
            pytest.param({"min_runtime_seconds": -1}, "spec.min_runtime_seconds: .* -1", id="negative time"),
            pytest.param({"reserve_after_seconds": "1h"}, "spec.reserve_after_seconds", id="no number of seconds"),
            pytest.param({"require_matching_node": "yes"}, "spec.require_matching_node", id="no boolean"),
            pytest.param({"cohort": "all"}, 'unknown field "spec.cohort"', id="a field that is not there"),
            pytest.param(
                {"quota": {f"example.org/r{number}": 1 for number in range(33)}}, "spec.quota: Too many", id="too many"
            ),
            pytest.param(
                selector(match_expressions=[NEEDS_AN_OPERAND]), "In and NotIn take values", id="In without values"
            ),
            pytest.param(
                selector(match_expressions=[NEEDS_AN_OPERAND | {"values": []}]),
                "In and NotIn take values",
                id="In without a value",
            ),
            pytest.param(
                selector(match_expressions=[{"key": "a", "operator": "Exists", "values": ["b"]}]),
                "Exists and DoesNotExist take none",
                id="Exists with values",
            ),
            pytest.param(
                selector(match_expressions=[{"key": "a", "operator": "Equals", "values": ["b"]}]),
                r'match_expressions\[0\].operator: Unsupported value: "Equals"',
                id="unknown operator",
            ),
            pytest.param(
                selector(match_expressions=[{"key": "", "operator": "Exists"}]),
                r"match_expressions\[0\].key",
                id="no key",
            ),
            pytest.param(selector(match_labels={"a b": "c"}), "match_labels names labels", id="no label"),
            pytest.param(selector(match_labels={"a": "b c"}), "match_labels.a", id="no value of a label"),
            pytest.param(selector(), "for every namespace, leave namespace_selector out", id="empty selector"),
        ],
    )
    def test_naming_the_field(self, kubectl: Kubectl, spec: dict[str, Any], words: str) -> None:
        with pytest.raises(ClusterError, match=words):
            as_read(kubectl, queue(**spec))

    @pytest.mark.parametrize(
        "given",
        [{"matchLabels": {"team": "a"}}, {"match_labels": {"team": None}}, {"match_expressions": []}],
        ids=["Kubernetes' own spelling", "a null", "no expression"],
    )
    def test_a_selector_never_opens_the_queue_to_all_because_its_words_were_dropped(
        self, kubectl: Kubectl, given: dict[str, Any]
    ) -> None:
        with pytest.raises(ClusterError, match="it must have match_labels or match_expressions"):
            as_read(kubectl, queue(**selector(**given)), "--validate=ignore")

    @pytest.mark.parametrize("name", ["team.a", "a" * 64], ids=["dots", "too long"])
    def test_a_name_that_no_job_can_give(self, kubectl: Kubectl, name: str) -> None:
        with pytest.raises(ClusterError, match="metadata.name must be a DNS label"):
            as_read(kubectl, queue(name))


class TestInTheJob:
    @pytest.fixture
    def job(self, kubectl: Kubectl, namespace: str) -> Iterator[Callable[..., dict[str, Any]]]:
        """Stores a job with this queue and, if given, this status, and returns it."""
        made: list[str] = []

        def make(queue_name: str | None = None, status: str = "") -> dict[str, Any]:
            name = f"job-{len(made)}"
            spec = make_spec(pipeline_key="not-published", queue=queue_name)
            manifest = {"apiVersion": API_VERSION, "kind": "BatchJob", "metadata": {"name": name}, "spec": spec}
            kubectl.run("create", "-n", namespace, "-f", "-", stdin=manifest)
            made.append(name)
            if status:
                patch = json.dumps({"status": {"status": status}})
                kubectl.run("patch", "bj", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch)
            return {**manifest, "spec": kubectl.get("bj", name, "-n", namespace)["spec"]}

        yield make
        if made:
            kubectl.run("delete", "bj", "-n", namespace, *made)

    def test_without_one_it_is_default(self, job: Callable[..., dict[str, Any]]) -> None:
        assert job()["spec"]["queue"] == "default"

    @pytest.mark.parametrize("name", ["Team A", "team.a", "", "a" * 64], ids=["words", "dots", "empty", "too long"])
    def test_must_be_a_name_that_a_queue_can_have(
        self, kubectl: Kubectl, job: Callable[..., dict[str, Any]], name: str
    ) -> None:
        with pytest.raises(ClusterError, match="spec.queue"):
            job(name)

    def test_can_be_selected_by(self, kubectl: Kubectl, namespace: str, job: Callable[..., dict[str, Any]]) -> None:
        job("research")
        wanted = job("production")["metadata"]["name"]
        found = kubectl.run("get", "bj", "-n", namespace, "--field-selector=spec.queue=production", "-o", "name")
        assert found.split() == [f"batchjob.batch-operator.dev/{wanted}"]

    @pytest.mark.parametrize("status", ["ADMITTED", "RUNNING"])
    @pytest.mark.parametrize(
        "change", [{"queue": "other"}, {"queue": None}, {"priority_class_name": "urgent"}], ids=str
    )
    def test_stays_while_it_holds_quota(
        self,
        kubectl: Kubectl,
        namespace: str,
        job: Callable[..., dict[str, Any]],
        status: str,
        change: dict[str, Any],
    ) -> None:
        name = job("research", status)["metadata"]["name"]
        (field,) = change
        with pytest.raises(ClusterError, match=rf"{field} cannot be changed: .*; suspend the job first"):
            kubectl.run("patch", "bj", name, "-n", namespace, "--type=merge", "-p", json.dumps({"spec": change}))

    @pytest.mark.parametrize("status", ["", "PENDING", "PREEMPTED", "FAILED"])
    def test_may_change_while_it_holds_none(
        self, kubectl: Kubectl, namespace: str, job: Callable[..., dict[str, Any]], status: str
    ) -> None:
        name = job("research", status)["metadata"]["name"]
        change = json.dumps({"spec": {"queue": "other", "priority_class_name": "urgent"}})
        kubectl.run("patch", "bj", name, "-n", namespace, "--type=merge", "-p", change)
        assert kubectl.get("bj", name, "-n", namespace)["spec"]["queue"] == "other"


class TestForPeople:
    def test_who_uses_what_and_who_waits_why_is_in_one_table(self, kubectl: Kubectl, namespace: str) -> None:
        moment = "2026-04-14T10:00:00Z"
        waits = {"type": "Admitted", "status": "False", "reason": "WaitingForQuota", "lastTransitionTime": moment}
        ready = {"type": "Ready", "status": "True", "reason": "Open", "lastTransitionTime": moment}
        of_job = {"status": "PENDING", "queue_position": 3, "progress": "0/4", "retry_count": 0, "conditions": [waits]}
        of_queue = {"usage": "48/64 nvidia.com/gpu", "admitted": 6, "pending": 12, "conditions": [ready]}
        job = {"apiVersion": API_VERSION, "kind": "BatchJob", "metadata": {"name": "tep", "namespace": namespace}}
        made = [(job | {"spec": make_spec(queue=namespace)}, of_job), (queue(namespace), of_queue)]
        try:
            for manifest, status in made:
                kubectl.run("create", "-f", "-", stdin=manifest)
                target = (manifest["kind"], manifest["metadata"]["name"], "-n", namespace, "--subresource=status")
                kubectl.run("patch", *target, "--type=merge", "-p", json.dumps({"status": status}))
            lines = kubectl.run("get", "bj,bq", "-n", namespace).splitlines()
            wide = kubectl.run("get", "bq", namespace, "-o", "wide").splitlines()[0].split()
        finally:
            kubectl.run("delete", "queue", namespace, "--ignore-not-found")
        table = [line.split()[1:-1] for line in lines if "tep" in line or f"/{namespace}" in line or "NAME" in line]
        assert table == [
            ["STATUS", "QUEUE", "POS", "ADMISSION", "PROGRESS", "RETRIES"],
            ["PENDING", namespace, "3", "WaitingForQuota", "0/4", "0"],
            ["USAGE", "ADMITTED", "PENDING", "READY", "REASON"],
            ["48/64", "nvidia.com/gpu", "6", "12", "True", "Open"],
        ]
        assert wide == ["NAME", *table[2], "AGE", "STRATEGY", "PREEMPTION", "STOP", "NEXT"]
