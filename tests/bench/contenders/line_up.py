"""Who takes part, in the order of the tables. Used by __main__, report and picture."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.contender import Contender, Limits
from tests.bench.contenders.bare import Bare
from tests.bench.contenders.indexed_job import IndexedJob
from tests.bench.contenders.jobset.contender import JobSet
from tests.bench.contenders.plain_kopf.contender import PlainKopf
from tests.bench.contenders.this_operator import ThisOperator

LIMIT = "0a: pods and one patch"
WRITES = "0b: own writes"
OPERATOR = "this operator"
JOB = "Job"
JOB_SHIPPED = "Job, shipped limits"
JOBSET = "JobSet"
JOBSET_SHIPPED = "JobSet, shipped limits"
KOPF = "plain kopf"


@dataclass(frozen=True)
class Place:
    """`once`: too slow for five rounds; it runs once, on fewer jobs."""

    name: str
    make: Callable[[], Contender]
    once: bool = False


LINE_UP: tuple[Place, ...] = (
    Place(LIMIT, lambda: Bare(LIMIT, all_writes=False)),
    Place(WRITES, lambda: Bare(WRITES, all_writes=True)),
    Place(OPERATOR, lambda: ThisOperator(OPERATOR)),
    Place(JOB, lambda: IndexedJob(JOB, Limits.TUNED)),
    Place(JOBSET, lambda: JobSet(Limits.TUNED)),
    Place(JOB_SHIPPED, lambda: IndexedJob(JOB_SHIPPED, Limits.SHIPPED), once=True),
    Place(JOBSET_SHIPPED, lambda: JobSet(Limits.SHIPPED), once=True),
    Place(KOPF, PlainKopf, once=True),
)
BARE = (LIMIT, WRITES)


def names() -> list[str]:
    return [place.name for place in LINE_UP]
