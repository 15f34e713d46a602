import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin, get_type_hints

import orjson
import pytest

from batch_operator.api import names
from batch_operator.api.fields import READ_FIELDS, CustomFields, NodeFields, PodFields
from batch_operator.api.v1alpha1.batch_queue import decode_queue
from batch_operator.api.v1alpha1.decoding import decode_job
from batch_operator.cluster.errors import Unreachable
from batch_operator.cluster.json_reading import Fields, read_event, read_list, read_object
from batch_operator.snapshot import decode_node, decode_pipeline, decode_pod
from tests.builders import make_batchjob, make_pod, make_raw_batchjob, make_raw_pod, make_spec

MANAGED = [{"manager": "kubelet", "fieldsV1": {"f:status": {"f:phase": {}}}}]
RUN = {"startedAt": "2026-04-14T10:00:02Z", "finishedAt": "2026-04-14T10:00:09Z", "exitCode": 3, "reason": "Error"}
POD = make_raw_pod(make_pod())
POD["metadata"] |= {
    "managedFields": MANAGED,
    "creationTimestamp": "2026-04-14T10:00:00Z",
    "deletionTimestamp": "2026-04-14T10:00:30Z",
    "deletionGracePeriodSeconds": 30,
}
POD["spec"] = {
    "nodeName": "gpu-1",
    "schedulingGates": [{"name": "kueue.x-k8s.io/admission"}],
    "containers": [
        {"name": names.CONTAINER_NAME, "env": [{"name": "A"}], "resources": {"requests": {"nvidia.com/gpu": "2"}}}
    ],
}
POD["status"] = {
    "phase": "Failed",
    "reason": "Evicted",
    "message": "the node was low on memory",
    "podIP": "10.0.0.1",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"},
        {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drained"},
    ],
    "containerStatuses": [
        {"name": "sidecar", "state": {"running": {"startedAt": "2026-04-14T10:00:01Z"}}},
        {
            "name": names.CONTAINER_NAME,
            "image": "x/y:1",
            "state": {
                "running": {"startedAt": "2026-04-14T10:00:02Z"},
                "terminated": {**RUN, "message": "out of memory", "containerID": "x"},
                "waiting": {"reason": "ImagePullBackOff", "message": "not found"},
            },
        },
    ],
}
NODE: dict[str, Any] = {
    "metadata": {"name": "n", "uid": "u", "resourceVersion": "7", "labels": {"zone": "a"}, "managedFields": MANAGED},
    "spec": {"unschedulable": True, "taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]},
    "status": {
        "allocatable": {"nvidia.com/gpu": "8"},
        "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-04-14T10:00:00Z"}],
        "images": [{"names": ["x/y:1"], "sizeBytes": 5}],
    },
}
JOB = make_raw_batchjob(make_spec(), make_batchjob().status.model_dump(exclude_none=True), generation=3)
JOB["metadata"] |= {
    "managedFields": MANAGED,
    "deletionTimestamp": "2026-04-14T10:00:30Z",
    "labels": {"kueue.x-k8s.io/queue-name": "team", "helm.toolkit.fluxcd.io/name": "x"},
    "annotations": {names.RETRY_ANNOTATION: "1", names.CANCEL_ANNOTATION: "2"},
}
QUEUE = {"metadata": NODE["metadata"] | {"generation": 4}, "spec": {"quota": {"nvidia.com/gpu": "8"}}, "status": {}}
PIPELINE = {"metadata": POD["metadata"], "spec": {"key": "k", "version": "1.0.0"}}

OBJECTS: dict[str, tuple[Mapping[str, Any], Callable[[Mapping[str, Any]], Any], Fields]] = {
    "pod": (POD, decode_pod, PodFields),
    "node": (NODE, decode_node, NodeFields),
    "job": (JOB, decode_job, CustomFields),
    "queue": (QUEUE, decode_queue, CustomFields),
    "pipeline": (PIPELINE, decode_pipeline, CustomFields),
}
each_object = pytest.mark.parametrize(("raw", "decode", "only"), OBJECTS.values(), ids=OBJECTS)


class Noted(dict[str, Any]):
    """An object that notes which of its fields are asked for, whether they are there or not."""

    def __init__(self, raw: Mapping[str, Any], where: str, asked: set[str]) -> None:
        super().__init__({key: _noted(value, f"{where}.{key}", asked) for key, value in raw.items()})
        self._where, self._asked = where, asked

    def __getitem__(self, key: str) -> Any:
        self._asked.add(f"{self._where}.{key}")
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._asked.add(f"{self._where}.{key}")
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self._asked.add(f"{self._where}.{key}")
        return super().__contains__(key)


def _noted(value: Any, where: str, asked: set[str]) -> Any:
    if isinstance(value, Mapping):
        return Noted(value, where, asked)
    return [_noted(item, where, asked) for item in value] if isinstance(value, list) else value


def is_named(path: str, only: Any) -> bool:
    """Whether the fields have this one, of themselves or of an object whose fields are all read."""
    for key in path.split(".")[1:]:
        while get_origin(only) is list:
            (only,) = get_args(only)
        if get_origin(only) is dict:
            return True
        hints = get_type_hints(only)
        if key not in hints:
            return False
        only = hints[key]
    return True


@each_object
def test_every_field_that_a_decoder_asks_for_is_named(
    raw: Mapping[str, Any], decode: Callable[[Mapping[str, Any]], Any], only: Fields
) -> None:
    asked: set[str] = set()
    decode(Noted(raw, "", asked))
    assert len(asked) > 3
    assert [path for path in sorted(asked) if not is_named(path, only)] == []


@each_object
def test_what_is_read_makes_the_same_record(
    raw: Mapping[str, Any], decode: Callable[[Mapping[str, Any]], Any], only: Fields
) -> None:
    data = orjson.dumps(raw)
    read = read_object(data, "GET /x", only)
    assert "managedFields" not in read["metadata"]
    assert decode(read) == decode(orjson.loads(data))


def test_a_page_and_an_event_have_their_objects_read_alike() -> None:
    expected = read_object(orjson.dumps(POD), "GET /x", PodFields)
    page = {"kind": "PodList", "metadata": {"continue": "t", "resourceVersion": "9"}, "items": [POD, POD]}
    read = read_list(orjson.dumps(page), "GET /x", PodFields)
    assert (read["metadata"], read["items"]) == (page["metadata"], [expected, expected])
    event = {"type": "MODIFIED", "object": POD}
    assert read_event(orjson.dumps(event), PodFields) == {"type": "MODIFIED", "object": expected}


def test_an_error_in_a_watch_comes_whole() -> None:
    gone = {"kind": "Status", "code": 410, "message": "too old", "metadata": {}}
    for status in (gone, {**gone, "status": "Failure"}):
        error = {"type": "ERROR", "object": status}
        for fields in READ_FIELDS.values():
            assert read_event(orjson.dumps(error), fields) == error


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {**POD["metadata"], "labels": None}},
        {"metadata": {**POD["metadata"], "labels": {"index": 5}}},
        {"status": {"phase": 7}},
        {"spec": "?"},
    ],
    ids=["null for labels", "a number for a label", "a number for a phase", "a word for an object"],
)
def test_what_is_not_as_the_fields_promise_comes_whole(change: dict[str, Any]) -> None:
    raw = {**POD, **change}
    assert read_object(orjson.dumps(raw), "GET /x", PodFields) == raw


@pytest.mark.parametrize("depth", [500, 9_000])
def test_an_object_that_nests_deep_is_read(depth: int) -> None:
    nested = '{"a":' * depth + "1" + "}" * depth
    data = f'{{"metadata":{{"name":"j"}},"spec":{nested}}}'.encode()
    limit = 40_000
    read = _with_recursion(limit, lambda: read_object(data, "GET /x", CustomFields))
    assert read["metadata"] == {"name": "j"}
    assert read["spec"].keys() == {"a"}


def _with_recursion(limit: int, work: Callable[[], Any]) -> Any:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        return work()
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    "value",
    ["123456789012345678901234567890", '{"a":1,"a":2}', "-0.0", '"\\ud83d\\ude00"', "[true,null]"],
    ids=["beyond 64 bits", "twice the same key", "minus nothing", "a surrogate pair", "a list"],
)
def test_values_are_as_kopf_reads_them(value: str) -> None:
    text = f'{{"spec":{{"parameters":{value}}}}}'
    assert read_object(text.encode(), "x", CustomFields) == json.loads(text)


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>", b"[1]", b'{"metadata":', b'{"metadata":{"name":"\xff"}}'],
    ids=["nothing", "a page", "a list", "half", "no text"],
)
def test_what_is_no_object_is_no_answer(data: bytes) -> None:
    for only in (None, PodFields):
        with pytest.raises(Unreachable, match="GET /x"):
            read_object(data, "GET /x", only)
