"""A job that is handed over to Kueue, which admits it, preempts it and admits it again."""

from dataclasses import replace

from tests.fakes import resource_types
from tests.fakes.kueue import QUEUE, SimulatedKueue
from tests.fakes.pod_scripts import PodPlace, Script, finishes
from tests.fakes.resource_types import Object, ResourceType
from tests.fakes.world import World
from tests.unit.faults.scenario import Scenario

PREEMPTED_AT = 14.0


def _handed_over(resource: ResourceType, new: Object) -> None:
    if resource is resource_types.BATCH_JOBS:
        new["metadata"]["labels"] = {QUEUE: "gpu"}


def _kueue(world: World) -> None:
    """There from the first, and busy elsewhere for a while after it has preempted the job."""
    kueue = SimulatedKueue(world)
    world.server.webhooks.append(_handed_over)

    def preempt() -> None:
        kueue.room = 0
        for name in list(kueue.admitted):
            kueue.preempt(name)

    def has_room() -> None:
        kueue.room = 64
        kueue.look_soon()

    world.clock.call_at(PREEMPTED_AT, preempt)
    world.clock.call_at(PREEMPTED_AT + 30, has_room)


def _ends_late(place: PodPlace) -> Script:
    """Pods that end one after the other when they are asked to."""
    return replace(finishes(place, 8.0 if place.attempt else 200.0), stop_seconds=1.0 + 3 * place.index)


OF_KUEUE = (
    Scenario(
        "kueue-preempts",
        _ends_late,
        {"status": "COMPLETED", "retry_count": 0},
        acts=((0, _kueue),),
        one_way=False,
        counts_vary=True,
        patience=60.0,
    ),
)
