"""What Kueue must find on a pod to admit it: its LocalQueue, and the group that is admitted as a whole.

The pods with which a round begins are one group, of a known size. It is not retriable: Kueue then lets it go as soon as
none of its pods runs any more, whatever became of them. A replacement is a single pod: a group that has ended takes no
more pods, and whether it has only Kueue knows (docs/adr/0011-kueue.md). Called by reconcile.handing_over.
"""

from typing import Any

from batch_operator.api import kueue, names
from batch_operator.api.v1alpha1.batchjob import HandedOver


def marked(manifest: dict[str, Any], given: HandedOver, *, is_replacement: bool) -> dict[str, Any]:
    """The pod's manifest for Kueue; `is_replacement`: of a pod that was lost in the same round."""
    metadata = manifest["metadata"]
    labels = {key: value for key, value in metadata["labels"].items() if key != names.QUEUE_LABEL}
    labels[kueue.QUEUE_LABEL] = given.queue
    annotations = dict(metadata["annotations"])
    if given.group is not None and not is_replacement:
        labels[kueue.GROUP_LABEL] = given.group
        annotations |= {kueue.GROUP_COUNT_ANNOTATION: str(given.pods), kueue.RETRIABLE_ANNOTATION: "false"}
    return {**manifest, "metadata": {**metadata, "labels": labels, "annotations": annotations}}
