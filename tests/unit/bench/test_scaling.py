from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import scaling
from tests.bench.scaling import COSTS, Costs, Line, Load, drain

ROUND = {
    "job_cpu_ms": 5.0,
    "pod_cpu_ms": 1.0,
    "report_cpu_ms": 2.0,
    "report_seconds": 5.0,
    "job_watch_kib": 20.0,
    "pod_watch_kib": 8.0,
    "job_own_writes": 5.0,
    "job_all_writes": 10.0,
    "pod_all_writes": 4.0,
    "operator_rss_mib": 100.0,
    "running_job_kib": 8.0,
    "restart_cpu_ms": 1.0,
    "queue_of_10000_rss_mib": 200.0,
    "stored_job_kib": 4.0,
    "stored_pod_kib": 4.0,
    "stored_configmap_kib": 2.0,
    "big_job_kib": 500.0,
    "worst_ranges_kib": 24.0,
    "cycle_1000_ms": 10.0,
    "cycle_10000_ms": 50.0,
    "cycle_50000_ms": 250.0,
    "api_writes_per_second": 1000.0,
    "moves_per_second": 10.0,
    "reviews_per_second": 100.0,
    "review_holds_seconds": 60.0,
    "progress_interval_seconds": 5.0,
    "lease_writes_per_second": 0.5,
}


@pytest.fixture
def costs() -> Costs:
    return Costs({name: (value, "a round number") for name, value in ROUND.items()})


def line(what: str, load: Load, costs: Costs) -> Line:
    return next(found for found in scaling.lines(load, costs) if found.what.startswith(what))


def test_what_breaks_first_comes_first(costs: Costs) -> None:
    times = [found.times for found in scaling.lines(Load(), costs)]
    assert times == sorted(times)


def test_the_peaks_jobs_and_reports_are_the_operators_cpu(costs: Costs) -> None:
    load = Load(nodes=100, gpus_per_node=1, jobs_a_day=86_400, peak=2, inputs_a_day=0)
    assert line("operator's CPU", load, costs).asked == pytest.approx((2 * 5 + 100 / 5 * 2) / 1000)


def test_more_pods_cost_only_what_a_further_pod_costs(costs: Costs) -> None:
    load = Load(jobs_a_day=86_400, peak=1, inputs_a_day=0, pods_per_job=11)
    assert line("API server", load, costs).asked == pytest.approx(10 + 10 * 4)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        pytest.param(86_400, 2.0, id="each-input-begins-and-ends"),
        pytest.param(86_400 * 1000, 20.0, id="no-more-than-one-write-a-job-and-interval"),
    ],
)
def test_progress_writes(inputs: int, expected: float, costs: Costs) -> None:
    load = Load(nodes=100, gpus_per_node=1, inputs_a_day=inputs, peak=1)
    assert scaling.progress_writes(load, costs) == pytest.approx(expected)


def test_memory_is_the_sum_of_those_that_wait_run_and_have_ended(costs: Costs) -> None:
    load = Load(nodes=128, gpus_per_node=1, jobs_a_day=5_000, kept_days=2, waiting=10_000)
    assert scaling.memory_mib(load, costs) == pytest.approx(100 + 100 + 100 + 1)


def test_what_is_kept_fills_etcd(costs: Costs) -> None:
    assert line("etcd", Load(jobs_a_day=1024, kept_days=3), costs).asked == pytest.approx(30)


@pytest.mark.parametrize(
    ("waiting", "ms"), [(1_000, 10), (10_000, 50), (30_000, 150), (50_000, 250), (100_000, 500), (0, 5.6)]
)
def test_a_cycle_lies_on_the_measured_ones(waiting: int, ms: float, costs: Costs) -> None:
    assert scaling.cycle_ms(waiting, costs) == pytest.approx(ms, abs=0.1)


@pytest.mark.parametrize(
    ("arrivals", "capacity", "longest"),
    [
        pytest.param([1, 1, 1], 2, 0.0, id="never-too-much"),
        pytest.param([10, 0, 0, 0], 2, 4.0, id="one-burst"),
        pytest.param([4, 4, 0, 0, 4], 2, 2.0, id="what-is-left-adds-up"),
    ],
)
def test_drain(arrivals: list[float], capacity: float, longest: float) -> None:
    assert drain(arrivals, capacity).longest_wait == pytest.approx(longest)


def test_a_burst_has_all_its_jobs(costs: Costs) -> None:
    load = Load(jobs_a_day=86_400)
    assert sum(scaling.burst(load, 600)) == pytest.approx(3600 + 600)
    assert scaling.capacity(load, costs) == (200.0, 100.0)


def test_nothing_asked_never_breaks() -> None:
    assert Line("x", 0.0, 5.0, "").times == float("inf")


def test_the_costs_that_are_checked_in_have_all_names_and_a_source_each() -> None:
    found = scaling.load(COSTS).found
    assert found.keys() == ROUND.keys() | {"big_job_cpu_ms"}
    assert all(value > 0 and source for value, source in found.values())


def test_the_page_shows_the_tables_that_the_command_prints() -> None:
    page = (Path(__file__).parents[3] / "docs/scaling.md").read_text()
    assert scaling.report(Load(), scaling.load()) in page, "run: python -m tests.bench.scaling --write docs/scaling.md"


def test_more_load_breaks_sooner(costs: Costs) -> None:
    load = Load()
    twice = replace(load, jobs_a_day=2 * load.jobs_a_day)
    assert line("API server", twice, costs).times < line("API server", load, costs).times
