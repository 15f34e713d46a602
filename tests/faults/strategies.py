"""Hypothesis strategies of BatchJobs and Pipelines: as the schema allows them, as an author writes them, and broken.

`cases(count, seed)` draws them once for all, so that the same seed is the same objects. Used by generated.
"""

import copy
import json
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.builders import files, make_pipeline_spec, make_spec

Object = dict[str, Any]
CRDS = Path(__file__).resolve().parents[2] / "crds"
LIMITS = (0, 1, -1, 2**31 - 1, -(2**31), 2**31, 2**53, 2**63 - 1, -(2**63), 2**63, 10**30)
DEPTHS = (30, 300, 1200, 9000)
_DESCENT = 6
_ODD_TEXT = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="\u0000\u0007\u001b\u202e\ud7ff\ufeff𝔘🚀ß\n\r\t", min_size=1, max_size=20),
    st.sampled_from(
        ["", " ", "../..", "/etc/passwd", "file:///x", "${HOME}", "{{ .x }}", "__proto__", "null", "-1", "NaN"]
    ),
)
_WRONG_TYPE = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(LIMITS),
    st.floats(allow_nan=False, allow_infinity=False),
    _ODD_TEXT,
    st.just([]),
    st.just({}),
    st.just([[["a"]]]),
    st.just({"a": {"b": None}}),
)


@dataclass(frozen=True)
class Case:
    """One generated object. `sort`: how it was made; `tamper`: what somebody does to it once it is there."""

    sort: str
    kind: str
    spec: Any
    labels: Mapping[str, str]
    tamper: Mapping[str, Any] | None


def schema_of(plural: str) -> Object:
    crd = yaml.safe_load((CRDS / f"{plural}.yaml").read_text())
    found: Object = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return found


def of_schema(schema: Mapping[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """What the schema allows, but for its CEL rules; small more often than large."""
    if schema.get("enum"):
        return st.sampled_from(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return st.one_of(st.integers(0, 1000), st.sampled_from(["1", "500m", "2Gi", "1.5"]))
    kind = schema.get("type")
    if kind == "object" or schema.get("x-kubernetes-preserve-unknown-fields"):
        return _object_of(schema, depth)
    if kind == "array":
        return st.lists(of_schema(schema["items"], depth + 1), max_size=min(4, schema.get("maxItems", 4)))
    if kind == "integer":
        low, high = schema.get("minimum", -(2**31)), schema.get("maximum", 2**31 - 1)
        return st.one_of(st.sampled_from([low, high]), st.integers(low, min(high, low + 100)))
    if kind == "boolean":
        return st.booleans()
    return _text_of(schema)


def _object_of(schema: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        leaves = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), _ODD_TEXT)
        inner = leaves if depth > _DESCENT else st.recursive(leaves, _nested, max_leaves=8)
        return st.dictionaries(_name(), inner, max_size=4)
    if "additionalProperties" in schema:
        keys = st.one_of(st.sampled_from(["worker", "worker.inference", "worker.n_shots", "class"]), _name())
        most = min(3, schema.get("maxProperties", 3))
        values = of_schema(schema["additionalProperties"], depth + 1)
        return st.dictionaries(keys, values, min_size=min(most, schema.get("minProperties", 0)), max_size=most)
    properties, required = schema.get("properties", {}), set(schema.get("required", ()))
    fields = {name: of_schema(inner, depth + 1) for name, inner in properties.items()}
    return st.fixed_dictionaries(
        {name: fields[name] for name in fields if name in required},
        optional={name: fields[name] for name in fields if name not in required},
    )


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(inner, max_size=3), st.dictionaries(_name(), inner, max_size=3))


def _text_of(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", 200)
    if schema.get("format") == "date-time":
        return st.sampled_from(["2026-04-14T10:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
    if "pattern" in schema:
        found = st.from_regex(schema["pattern"].replace("$", r"\Z"))
        return found.filter(lambda text: len(text) <= most)
    return st.one_of(_name(), st.text(min_size=least, max_size=min(most, 30)), st.just("x" * most))


def _name() -> st.SearchStrategy[str]:
    return st.text(alphabet=string.ascii_lowercase + string.digits, min_size=1, max_size=10)


def _author_s_job() -> st.SearchStrategy[Object]:
    """What reaches the operator: right by the schema and its rules, right or wrong by the registry."""
    config: st.SearchStrategy[Object] = st.one_of(
        st.fixed_dictionaries({"batch_size": st.integers(1, 2**31)}),
        st.fixed_dictionaries({"batch_size": st.integers(1, 2**31)}),
        st.fixed_dictionaries({"batch_size": st.sampled_from(LIMITS)}),
        st.fixed_dictionaries({}),
        of_schema({"x-kubernetes-preserve-unknown-fields": True}),
    )
    tracked = st.sampled_from([1, 2, 3, 4, 5, 0]).map(lambda count: {"worker.inference": files(count)})
    parallelism = st.one_of(st.integers(1, 3), st.integers(1, 3), st.sampled_from([8, 9, 1000]))
    examples = {"worker.n_shots": make_spec()["inputs"]["worker.n_shots"]}
    return st.builds(
        lambda key, version, inputs, extra, number, settings_, name, policy: make_spec(
            pipeline_key=key,
            pipeline_version=version,
            inputs=inputs | extra,
            parameters={"worker": {"parallelism": number, "config": settings_}},
            name=name,
            policy=policy,
        ),
        st.sampled_from(["classify"] * 6 + ["broken", "nobody-published-it"]),
        st.sampled_from([None, None, None, "1.1.1", "1.1.1", "9.9.9"]),
        tracked,
        st.sampled_from([examples, examples, examples, examples, {}, {"worker.no_such_port": files(1)}]),
        parallelism,
        config,
        st.one_of(st.none(), st.text(min_size=1, max_size=60), st.just("n" * 253)),
        st.one_of(st.none(), of_schema(schema_of("batchjobs")["spec"]["properties"]["policy"])),
    )


def _broken(spec: Object, where: list[int], what: Any) -> Object:
    """`what` in place of something in the spec: `where` says at each level which entry to follow."""
    damaged = copy.deepcopy(spec)
    place: Any = damaged
    for choice in where:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = keys[choice % len(keys)]
        if not isinstance(place[key], dict | list) or choice % 3 == 0:
            place[key] = what
            break
        place = place[key]
    else:
        damaged["no_such_field"] = what
    return damaged


def _large() -> st.SearchStrategy[Object]:
    """At or past the limits of size: of a request, of etcd, of the spec's own rules."""
    return st.one_of(
        st.sampled_from([5_000, 9_998, 10_001]).map(_with_files),
        st.sampled_from([200_000, 300_000, 1_400_000, 3_200_000]).map(lambda size: _configured({"text": "x" * size})),
        st.sampled_from(DEPTHS).map(lambda levels: _configured({"deep": f"@deep:{levels}@"})),
        st.integers(1, 4000).map(lambda count: _configured({str(number): number for number in range(count)})),
    )


def _with_files(count: int) -> Object:
    return make_spec(inputs=make_spec()["inputs"] | {"worker.inference": files(count)})


def _configured(config: Object) -> Object:
    return make_spec(parameters={"worker": {"config": config}})


_LABELS = st.dictionaries(
    st.sampled_from(["batch-operator.dev/job-uid", "app.kubernetes.io/managed-by", "batch-operator.dev/index", "team"]),
    st.sampled_from(["", "x", "-1", "batch-operator", "99999999999999999999"]),
    max_size=3,
)


def _tampering() -> st.SearchStrategy[Object | None]:
    """Status and pods as somebody else may leave them; most objects are left alone."""
    status = of_schema(schema_of("batchjobs")["status"])
    ledger = of_schema(schema_of("batchjobs")["status"]["properties"]["ledger"])
    owners = st.sampled_from([[], [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "no-such-uid"}]])
    return st.one_of(
        st.none(),
        st.none(),
        st.none(),
        st.fixed_dictionaries({"status": status}),
        st.fixed_dictionaries({"status": st.fixed_dictionaries({"ledger": ledger})}),
        st.fixed_dictionaries({"pod_labels": _LABELS}),
        st.fixed_dictionaries({"pod_owners": owners}),
    )


def case_strategy() -> st.SearchStrategy[Case]:
    jobs, pipelines = schema_of("batchjobs")["spec"], schema_of("pipelines")["spec"]
    paths = st.lists(st.integers(0, 50), min_size=1, max_size=6)
    author, registry = _author_s_job(), st.just(make_pipeline_spec(key="generated"))

    def case(sort: str, kind: str, spec: st.SearchStrategy[Any], tamper: bool = False) -> st.SearchStrategy[Case]:
        made = _tampering() if tamper else st.none()
        return st.builds(Case, st.just(sort), st.just(kind), spec, _LABELS if tamper else st.just({}), made)

    written = case("written", "BatchJob", author, tamper=True)
    sorts = [
        written, written, written, written,
        case("by the schema", "BatchJob", of_schema(jobs), tamper=True),
        case("by the schema", "Pipeline", of_schema(pipelines)),
        case("broken", "BatchJob", st.builds(_broken, author, paths, _WRONG_TYPE)),
        case("broken", "Pipeline", st.builds(_broken, registry, paths, _WRONG_TYPE)),
        case("no spec at all", "BatchJob", _WRONG_TYPE),
    ]  # fmt: skip
    usual = st.one_of(sorts)
    return st.integers(0, 49).flatmap(lambda roll: case("large", "BatchJob", _large()) if roll == 0 else usual)


def cases(count: int, number: int) -> list[Case]:
    """`count` of them; the same for the same `number`."""
    drawn: list[Case] = []

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case_strategy())
    def draw(case: Case) -> None:
        drawn.append(case)

    draw()
    return drawn


def as_json(manifest: Object) -> bytes:
    """Integers past 64 bits go out as they are, and "@deep:9000@" as so many nested objects: that is the test."""

    def nested(found: re.Match[str]) -> str:
        levels = int(found[1])
        return '{"a":' * levels + "{}" + "}" * levels

    return re.sub(r'"@deep:(\d+)@"', nested, json.dumps(manifest)).encode()
