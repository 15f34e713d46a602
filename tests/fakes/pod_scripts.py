"""What a pod of a test does with its life: a `Script` per pod, which pods.PodDriver plays."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from batch_operator.api import ranges
from tests.fakes.resource_types import Object

Report = Mapping[str, Any]
Happening = Callable[[Any, Object], object]
"""Called with the world.World and the pod, as it is then; disruptions has some."""


@dataclass(frozen=True, slots=True)
class PodPlace:
    """What a script may depend on."""

    job: str
    component: str
    index: int
    attempt: int
    inputs: frozenset[int]


@dataclass(frozen=True, slots=True)
class Script:
    """The life of one pod; seconds from its creation (`scheduled`), then from its start."""

    scheduled: float = 1.0
    """None of its business where there is no room: the scheduler then tries again whenever a pod goes."""
    rejected: tuple[str, str] | None = None
    """The kubelet refuses it: reason and message of the pod, which has no container status."""
    starts: float | None = 2.0
    """None: never; `waiting` says why."""
    waiting: tuple[str, str] | None = None
    reports: tuple[tuple[float, Report], ...] = ()
    happens: tuple[tuple[float, Happening], ...] = ()
    """What befalls it, or what people do at that moment of its life."""
    ends: float | None = 10.0
    """None: it runs until it is stopped."""
    exit_code: int = 0
    reason: str = ""
    """The container's, where it is neither Completed nor Error."""
    message: str = ""
    """The termination message."""
    stop_seconds: float = 1.0
    """From SIGTERM to the end, with exit code 75."""


def report(completed: str = "", processing: str = "", failed: str = "", **more: Any) -> dict[str, Any]:
    """A report as docs/pod-contract.md has it."""
    return {"completed": completed, "processing": processing, "failed": failed, **more}


def finishes(place: PodPlace, after: float = 10.0, failed: str = "") -> Script:
    """A worker that ends with its whole block done, but for the inputs `failed`."""
    done = ranges.format_ranges(place.inputs - ranges.parse(failed))
    return Script(ends=after, message=json.dumps(report(done, failed=failed)))


def works(place: PodPlace, *happens: tuple[float, Happening], each: float = 4.0) -> Script:
    """A worker that does one input after the other, tells of each, and then waits for what happens to it."""
    told: list[tuple[float, Report]] = []
    numbers = sorted(place.inputs)
    for done, number in enumerate(numbers):
        told.append((1.0 + each * done, report(ranges.format_ranges(numbers[:done]), processing=str(number))))
    return Script(reports=tuple(told), happens=happens, ends=None)


def breaks(after: float = 3.0, exit_code: int = 1, message: str = "", reason: str = "") -> Script:
    """A worker that ends badly, without a word on its inputs."""
    return Script(ends=after, exit_code=exit_code, message=message, reason=reason)
