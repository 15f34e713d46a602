"""What arrives in a week: Poisson arrivals with a daily cycle, sizes of 1 to 16 GPUs, log-normal durations.

The offered load is met through the spread of the durations: number of jobs, sizes and the median stay the same.
"""

import math
import random
from dataclasses import dataclass

WEEK = 7 * 86_400.0
GPUS = 64
WEIGHTS = {"team-a": 1, "team-b": 1, "team-c": 2, "team-d": 2, "team-e": 3}
"""All five ask for as much: the light ones want more than their share, the heavy ones less."""
SIZES = {1: 0.60, 2: 0.20, 4: 0.12, 8: 0.06, 16: 0.02}
PRIORITIES = {0: 0.6, 100: 0.3, 1000: 0.1}
MEDIAN_SECONDS = 20 * 60.0
DAILY_SWING = 0.6
"""Arrivals go up and down by that part between day and night."""


@dataclass(frozen=True)
class Arrival:
    uid: str
    at: float
    gpus: int
    seconds: float
    namespace: str
    priority: int


def spread(load: float, jobs: int, weeks: float) -> float:
    """The sigma of the log-normal durations with which so many jobs offer that load."""
    mean_gpus = sum(size * part for size, part in SIZES.items())
    mean_seconds = load * GPUS * WEEK * weeks / (jobs * mean_gpus)
    if mean_seconds < MEDIAN_SECONDS:
        raise ValueError(f"{jobs} jobs of median {MEDIAN_SECONDS:.0f} s offer more than a load of {load}")
    return math.sqrt(2 * math.log(mean_seconds / MEDIAN_SECONDS))


def arrivals(seed: int, load: float, jobs: int = 10_000) -> list[Arrival]:
    """`jobs` of them; fewer than 10,000 arrive in as much less than a week."""
    draw = random.Random(f"{seed}/{load}")
    weeks = jobs / 10_000
    sigma = spread(load, jobs, weeks)
    moments: list[float] = []
    while len(moments) < jobs:
        moment = draw.random() * WEEK * weeks
        if draw.random() * (1 + DAILY_SWING) < 1 + DAILY_SWING * math.sin(2 * math.pi * moment / 86_400):
            moments.append(moment)
    made = [
        (
            draw.choices(list(SIZES), list(SIZES.values()))[0],
            draw.lognormvariate(math.log(MEDIAN_SECONDS), sigma),
            draw.choice(list(WEIGHTS)),
            draw.choices(list(PRIORITIES), list(PRIORITIES.values()))[0],
        )
        for _ in moments
    ]
    scale = load * GPUS * WEEK * weeks / sum(gpus * seconds for gpus, seconds, _, _ in made)
    return [
        Arrival(f"{number:05}", at, gpus, seconds * scale, namespace, priority)
        for number, (at, (gpus, seconds, namespace, priority)) in enumerate(zip(sorted(moments), made, strict=True))
    ]
