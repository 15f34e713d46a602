"""`Kubelet`: tells kwok how the pods of one lane live and end, each by the `Script` that the scenario gives it.

kwok runs a pod until its annotations say when and how it ends (tests/cluster/fake_nodes.py); they are put on as soon
as the pod is there. Used by lane.
"""

import asyncio
from collections.abc import Callable

from batch_operator.api import names, ranges
from batch_operator.cluster.resource_paths import PODS as POD_PATHS
from tests.fakes.pod_scripts import PodPlace, Script
from tests.fakes.resource_types import PODS
from tests.faults.history import Seen
from tests.faults.scenarios import kwok_notes
from tests.faults.upstream import Object, Upstream


class Kubelet:
    """`heard` takes every event of the lane's pods."""

    def __init__(self, upstream: Upstream, script_of: Callable[[PodPlace], Script]) -> None:
        self._upstream = upstream
        self._script_of = script_of
        self._tasks: set[asyncio.Task[object]] = set()

    def heard(self, seen: Seen) -> None:
        labels = seen.object["metadata"].get("labels") or {}
        if seen.resource is PODS and seen.type == "ADDED" and names.COMPONENT_LABEL in labels:
            self.play(seen.object)

    def play(self, pod: Object) -> None:
        """Puts on the annotations of the pod's script, if it has an end."""
        meta = pod["metadata"]
        labels = meta["labels"]
        place = PodPlace(
            labels[names.JOB_NAME_LABEL],
            labels[names.COMPONENT_LABEL],
            int(labels[names.INDEX_LABEL]),
            int(labels[names.ATTEMPT_LABEL]),
            ranges.parse(meta["annotations"][names.INPUTS_ANNOTATION]),
        )
        notes = kwok_notes(self._script_of(place))
        if notes:
            path = POD_PATHS.path(meta["namespace"], meta["name"])
            work = self._upstream.ask("PATCH", path, {"metadata": {"annotations": notes}}, may_fail=(404,))
            task: asyncio.Task[object] = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
