"""From audit entries to times and counts."""

from dataclasses import astuple, replace
from typing import Any

import pytest

from tests.bench.audit import Entry
from tests.bench.figures import SUBMITTER, JobTimes, above_pods, job_of, nearest_rank, observe, span, spread

OURS = "system:serviceaccount:bench:operator"
SPACE = "bench-1"
BASE = Entry(0.0, 0.0, "create", "pods", "", SPACE, "", OURS, "batch-operator", 201)


def entry(at: float, verb: str, resource: str, name: str, **changes: Any) -> Entry:
    """Received at `at`, done a tenth of a second later."""
    given = {"received": at, "done": at + 0.1, "verb": verb, "resource": resource, "name": name}
    return replace(BASE, **{**given, **changes})


def one_job(name: str = "job-00001", at: float = 10.0) -> list[Entry]:
    kwok = {"user": "kubernetes-admin", "agent": "kwok/v0.7.0"}
    return [
        entry(at, "create", "batchjobs", name, user=SUBMITTER),
        entry(at + 1, "patch", "batchjobs/status", name),
        entry(at + 2, "create", "pods", f"{name}-x-worker-0-0"),
        entry(at + 3, "create", "pods", f"{name}-x-worker-1-0"),
        entry(at + 4, "patch", "pods/status", f"{name}-x-worker-0-0", **kwok),
        entry(at + 5, "patch", "pods/status", f"{name}-x-worker-1-0", **kwok),
        entry(at + 6, "patch", "batchjobs/status", name),
    ]


def is_own(seen: Entry) -> bool:
    return seen.user == OURS


def may_end(seen: Entry) -> bool:
    return is_own(seen) and seen.resource == "batchjobs/status"


def test_a_job_s_times_are_those_of_its_entries_in_whatever_order() -> None:
    for entries in (one_job(), one_job()[::-1]):
        seen = observe(entries, SPACE, is_own, may_end)
        assert list(seen.jobs) == ["job-00001"]
        assert astuple(seen.jobs["job-00001"]) == pytest.approx((10.0, 12.1, 13.1, 15.1, 16.1))


def test_only_own_writes_that_held_are_counted_and_refused_ones_apart() -> None:
    refused = entry(11.5, "patch", "batchjobs/status", "job-00001", code=409)
    seen = observe([*one_job(), refused], SPACE, is_own, may_end)
    assert seen.writes["job-00001"] == {"create pods": 2, "patch batchjobs/status": 2}
    assert seen.refused == {"patch batchjobs/status: 409": 1}
    assert seen.all_writes["patch pods/status"] == 2


def test_another_run_s_namespace_is_not_looked_at() -> None:
    others = [replace(e, namespace="bench-2") for e in one_job("job-00002")]
    assert list(observe([*one_job(), *others], SPACE, is_own, may_end).jobs) == ["job-00001"]


def test_reads_count_while_jobs_are_under_way() -> None:
    reads = [entry(at, "get", "configmaps", "x") for at in (9.0, 12.0, 30.0)]
    assert observe([*one_job(), *reads], SPACE, is_own, may_end).reads == {"get configmaps": 1}


def test_a_pod_without_a_name_is_its_job_s_where_one_came_at_a_time() -> None:
    nameless = [entry(12.5, "create", "pods", ""), entry(22.5, "create", "pods", "")]
    without_pods = [e for at, name in ((10.0, "job-00001"), (20.0, "job-00002")) for e in one_job(name, at)]
    entries = [e for e in without_pods if (e.verb, e.resource) != ("create", "pods")] + nameless
    seen = observe(entries, SPACE, is_own, may_end)
    assert [times.first_pod for times in seen.jobs.values()] == [pytest.approx(12.6), pytest.approx(22.6)]
    at_once = [replace(e, received=e.received - 10, done=e.done - 10) if e.name == "job-00002" else e for e in entries]
    assert not any(times.first_pod for times in observe(at_once, SPACE, is_own, may_end).jobs.values())


def test_the_span_goes_from_the_first_submit_to_the_last_end() -> None:
    assert span([JobTimes(submitted=3.0, ended=9.0), JobTimes(submitted=2.0, ended=8.0)]) == (2.0, 9.0)
    assert span([JobTimes(submitted=3.0, ended=9.0), JobTimes(submitted=2.0)]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("part", "rank"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)], ids=["p50", "p99", "most", "least"]
)
def test_percentiles_are_values_that_were_seen(part: float, rank: float) -> None:
    assert nearest_rank([float(n) for n in range(100, 0, -1)], part) == rank


def test_of_nothing_every_percentile_is_nothing() -> None:
    assert nearest_rank([], 0.99) == 0.0


def test_the_spread_is_over_jobs_that_wrote_none_of_a_kind_too() -> None:
    writes = {
        "job-00001": {"create pods": 1, "create events": 2},
        "job-00002": {"create pods": 1},
        "": {"create pods": 9},
    }
    assert spread(writes) == {"create pods": (1, 1, 1), "create events": (0, 2, 2), "all": (1, 3, 3)}


@pytest.mark.parametrize(
    ("name", "job"),
    [("job-00017", "job-00017"), ("job-00017-abc-worker-0-0", "job-00017"), ("kube-root-ca.crt", ""), ("", "")],
    ids=["itself", "its pod", "a stranger", "no name"],
)
def test_the_job_is_the_beginning_of_a_name(name: str, job: str) -> None:
    assert job_of(name) == job


def test_a_patch_for_each_interval_that_a_job_ran_is_explained() -> None:
    patches = [entry(at, "patch", "batchjobs/status", "job-00001") for at in (12.5, 13.5)]
    more = [entry(12.6, "create", "configmaps", "job-00001"), entry(16.0, "create", "events", "job-00001.x")]
    for end, unexplained in ((15.5, 1), (17.0, 0)):  # the first pod is there at 12.1
        last = [*one_job()[:-1], entry(end, "patch", "batchjobs/status", "job-00001")]
        seen = observe([*last, *patches, *more], SPACE, is_own, may_end)
        assert above_pods(seen, 2) == ((5, 5, 5), unexplained)
    assert above_pods(observe(one_job(), SPACE, is_own, may_end), 2) == ((2, 2, 2), 0)
    assert above_pods(observe([], SPACE, is_own, may_end), 2) == ((0, 0, 0), 0)
