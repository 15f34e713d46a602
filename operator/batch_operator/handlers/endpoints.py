"""What this process serves: the progress endpoint for worker pods, and metrics and probes. Run by lifecycle."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from batch_operator.api.report import Report
from batch_operator.cluster.client import Client
from batch_operator.cluster.connections import GuardedSite
from batch_operator.cluster.health_server import Check, HealthServer
from batch_operator.cluster.metrics import Metrics
from batch_operator.cluster.observations import Observations
from batch_operator.cluster.progress_server import ProgressEndpoint
from batch_operator.cluster.resource_paths import PODS
from batch_operator.cluster.tls_secret import ServingCertificate
from batch_operator.cluster.token_review import TokenReviewer
from batch_operator.cluster.workqueue import WorkQueue
from batch_operator.config import Settings
from batch_operator.handlers.keys import Key
from batch_operator.snapshot import PodRecord, decode_pod

COALESCE_SECONDS = 0.5


class ProgressReceiver:
    """Takes reports of living pods into memory and enqueues their jobs."""

    def __init__(
        self, client: Client, settings: Settings, seen: Observations, queue: WorkQueue[Key], metrics: Metrics
    ) -> None:
        self._settings = settings
        self._client = client
        self._seen = seen
        self._queue = queue
        host = urlsplit(settings.progress_url).hostname or "localhost"
        self.certificate = ServingCertificate(client, settings.namespace, settings.tls_secret, [host])
        endpoint = ProgressEndpoint(
            TokenReviewer(client), seen.pods.get, self._fetch_pod, self._accept, on_answer=metrics.reported
        )
        self._site = GuardedSite(endpoint.app(), self.certificate.context)

    async def start(self) -> str:
        """-> the PEM that pods are to trust. Raises ApiError where the Secret cannot be read, OSError for the port."""
        await self.certificate.load()
        await self._site.start(self._settings.bind_address, self._settings.progress_port)
        return self.certificate.ca_certificate

    async def stop(self) -> None:
        await self._site.stop()

    async def _fetch_pod(self, namespace: str, name: str) -> PodRecord:
        return decode_pod(await self._client.get(PODS.path(namespace, name)))

    def _accept(self, pod: PodRecord, report: Report) -> bool:
        return accept(self._seen, self._queue, pod, report)


def accept(seen: Observations, queue: WorkQueue[Key], pod: PodRecord, report: Report) -> bool:
    """-> whether the pod is one of a living job; anybody may hang a pod on any owner's uid."""
    job = seen.jobs.get_by_name(pod.namespace, pod.job_name)
    if job is None or job.uid != pod.owner_uid or not seen.is_living(job.uid):
        return False
    seen.reports[pod.uid] = report
    # a job of a thousand pods gets hundreds of reports a second, and one look is enough for all of them
    queue.add_after((pod.namespace, pod.job_name), COALESCE_SECONDS)
    return True


def health_server(metrics: Metrics, watches: Mapping[str, Check], ready: Mapping[str, Check]) -> HealthServer:
    """Both probes ask whether the watches live: an operator that hears nothing is of no use, and a restart helps.

    Before the first list an operator is alive, but not ready. `ready`: what a restart would not help.
    """

    def after_start(check: Check) -> Check:
        def words() -> str | None:
            trouble = check()
            return None if trouble is None or "not listed yet" in trouble or "not connected yet" in trouble else trouble

        return words

    return HealthServer(
        metrics.registry,
        live={name: after_start(check) for name, check in watches.items()},
        ready={**watches, **ready},
    )
