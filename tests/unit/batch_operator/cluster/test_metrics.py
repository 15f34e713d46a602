from prometheus_client import generate_latest

from batch_operator.cluster.metrics import Metrics
from tests.unit.batch_operator.cluster.clocks import FakeTimers


class FakeQueue:
    scheduled = 4
    processing = 2

    def __len__(self) -> int:
        return 3


class FakeWatch:
    resource = "pods"
    last_activity = 995.0


def text(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_every_number_shows_under_its_name() -> None:
    metrics = Metrics("1.2.3", clock=FakeTimers(1000.0))
    metrics.reconciled("ok", 0.02)
    metrics.requested("patch", "batchjobs/status", "200", 0.004)
    metrics.reported(204)
    metrics.track_queue(FakeQueue())
    metrics.track_watch(FakeWatch())
    metrics.track_jobs(lambda: {"RUNNING": 2, "COMPLETED": 5})
    shown = text(metrics)
    for line in (
        'batch_operator_build_info{version="1.2.3"} 1.0',
        'batch_operator_reconciles_total{result="ok"} 1.0',
        'batch_operator_reconcile_duration_seconds_bucket{le="0.05"} 1.0',
        'batch_operator_api_requests_total{code="200",resource="batchjobs/status",verb="patch"} 1.0',
        'batch_operator_api_request_duration_seconds_count{verb="patch"} 1.0',
        'batch_operator_progress_reports_total{code="204"} 1.0',
        "batch_operator_queue_depth 3.0",
        "batch_operator_queue_scheduled 4.0",
        "batch_operator_queue_processing 2.0",
        'batch_operator_watch_last_activity_seconds{resource="pods"} 5.0',
        'batch_operator_jobs{status="RUNNING"} 2.0',
        'batch_operator_jobs{status="COMPLETED"} 5.0',
    ):
        assert line in shown.splitlines()
    assert "process_resident_memory_bytes" in shown


def test_two_of_them_share_nothing() -> None:
    first, second = Metrics("1"), Metrics("1")
    first.reported(204)
    assert 'code="204"' not in text(second)


def test_jobs_are_counted_at_each_scrape() -> None:
    counts = {"PENDING": 1}
    metrics = Metrics("1")
    metrics.track_jobs(lambda: counts)
    assert 'batch_operator_jobs{status="PENDING"} 1.0' in text(metrics)
    counts["PENDING"] = 7
    assert 'batch_operator_jobs{status="PENDING"} 7.0' in text(metrics)
