"""All metrics of the operator, with a registry of their own. Made by main and handed to whoever counts; shown
by health_server.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, Info, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_PREFIX = "batch_operator"
_RECONCILE_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)
_SCHEDULE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.2, 0.5, 1)
_REQUEST_BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)


class Queue(Protocol):
    """A workqueue, as far as it is measured."""

    def __len__(self) -> int: ...
    @property
    def scheduled(self) -> int: ...
    @property
    def processing(self) -> int: ...


class Watch(Protocol):
    """A reflector, as far as it is measured."""

    @property
    def resource(self) -> str: ...
    @property
    def last_activity(self) -> float: ...


class Metrics:
    """`registry` is what /metrics shows. `clock` is the monotonic one of the reflectors."""

    def __init__(self, version: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        Info(f"{_PREFIX}_build", "The operator's version.", registry=self.registry).info({"version": version})
        self._reconciles = Counter(
            f"{_PREFIX}_reconciles", "Reconciles of jobs, by how they ended.", ["result"], registry=self.registry
        )
        self._reconcile_seconds = Histogram(
            f"{_PREFIX}_reconcile_duration_seconds",
            "How long one reconcile took.",
            buckets=_RECONCILE_BUCKETS,
            registry=self.registry,
        )
        self._schedule_seconds = Histogram(
            f"{_PREFIX}_schedule_duration_seconds",
            "How long one decision about all waiting jobs took.",
            buckets=_SCHEDULE_BUCKETS,
            registry=self.registry,
        )
        self._requests = Counter(
            f"{_PREFIX}_api_requests",
            "Requests to the API server; code 0 is no answer.",
            ["verb", "resource", "code"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            f"{_PREFIX}_api_request_duration_seconds",
            "How long the API server took to answer (a watch: to begin).",
            ["verb"],
            buckets=_REQUEST_BUCKETS,
            registry=self.registry,
        )
        self._reports = Counter(
            f"{_PREFIX}_progress_reports", "Progress reports, by the answer they got.", ["code"], registry=self.registry
        )
        self._watches = Gauge(
            f"{_PREFIX}_watch_last_activity_seconds",
            "Seconds since the API server last said anything on this watch (our own kinds: since it last connected).",
            ["resource"],
            registry=self.registry,
        )

    def reconciled(self, result: str, seconds: float) -> None:
        """`result`: a short word of a fixed set, e.g. "ok", "error", "conflict"."""
        self._reconciles.labels(result).inc()
        self._reconcile_seconds.observe(seconds)

    def scheduled(self, seconds: float) -> None:
        """One cycle of the scheduler."""
        self._schedule_seconds.observe(seconds)

    def requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """A `client.RequestObserver`."""
        self._requests.labels(verb, resource, code).inc()
        self._request_seconds.labels(verb).observe(seconds)

    def reported(self, code: int) -> None:
        """`on_answer` of the progress endpoint."""
        self._reports.labels(str(code)).inc()

    def track_lead(self, held: Callable[[], bool]) -> None:
        Gauge(
            f"{_PREFIX}_leader", "1 where this process leads, 0 where it waits.", registry=self.registry
        ).set_function(held)

    def track_queue(self, queue: Queue) -> None:
        for name, help_text, read in (
            ("depth", "Jobs that wait for a worker.", lambda: len(queue)),
            ("scheduled", "Jobs that are due later.", lambda: queue.scheduled),
            ("processing", "Jobs in the hands of workers.", lambda: queue.processing),
        ):
            Gauge(f"{_PREFIX}_queue_{name}", help_text, registry=self.registry).set_function(read)

    def track_watch(self, watch: Watch) -> None:
        self._watches.labels(watch.resource).set_function(lambda: self._clock() - watch.last_activity)

    def track_jobs(self, count: Callable[[], Mapping[str, int]]) -> None:
        """`count()` gives the number of jobs by status; it is called at each scrape."""
        self.registry.register(_Jobs(count))


class _Jobs(Collector):
    def __init__(self, count: Callable[[], Mapping[str, int]]) -> None:
        self._count = count

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(f"{_PREFIX}_jobs", "BatchJobs, by status.", labels=["status"])
        for status, number in sorted(self._count().items()):
            family.add_metric([status], number)
        yield family

    def describe(self) -> Iterable[GaugeMetricFamily]:
        yield GaugeMetricFamily(f"{_PREFIX}_jobs", "BatchJobs, by status.", labels=["status"])
