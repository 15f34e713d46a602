"""Who is handed over to Kueue (docs/kueue.md). Called by reconcile.handing_over."""

from collections.abc import Mapping

from batch_operator.api import kueue


def local_queue(on_job: str, on_namespace: Mapping[str, str] | None) -> str:
    """The LocalQueue that decides on a job's admission; "": none does. `on_job`: the value of its label queue-name,
    `on_namespace`: its namespace's labels, None where they are not read. The job's own word comes first."""
    labels = on_namespace or {}
    if on_job or labels.get(kueue.QUEUE_LABEL):
        return on_job or labels[kueue.QUEUE_LABEL]
    managed = any(labels.get(name, "").lower() == "true" for name in kueue.MANAGED_NAMESPACE_LABELS)
    return kueue.DEFAULT_QUEUE if managed else ""
