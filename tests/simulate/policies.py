"""The four policies that are compared, and one simulated week under one of them."""

from dataclasses import dataclass, replace
from datetime import timedelta

from batch_operator.api.v1alpha1.batch_queue import Preemption, QueueRecord, Strategy
from tests.simulate.figures import Figures, Meter, judge
from tests.simulate.load import GPUS, WEIGHTS, arrivals
from tests.simulate.nodes import Nodes
from tests.simulate.world import GPU, World

QUOTA = {GPU: GPUS * 1000}
NEVER = timedelta(days=365)


@dataclass(frozen=True)
class Policy:
    name: str
    queue: QueueRecord
    fair: bool = True
    prioritised: bool = True
    looks_at_nodes: bool = False
    """Where there are any."""


OURS = Policy(
    "ours",
    QueueRecord("default", quota=QUOTA, weights=WEIGHTS, preemption=Preemption.LOWER_PRIORITY),
    looks_at_nodes=True,
)
STRICT = Policy(
    "StrictFIFO",
    QueueRecord("default", quota=QUOTA, weights=WEIGHTS, strategy=Strategy.STRICT_FIFO),
    looks_at_nodes=True,
)
PLAIN = Policy("plain BestEffort", QueueRecord("default", quota=QUOTA, reserve_after=NEVER), fair=False)
FIFO = Policy(
    "plain FIFO",
    QueueRecord("default", quota=QUOTA, strategy=Strategy.STRICT_FIFO),
    fair=False,
    prioritised=False,
)
POLICIES = {policy.name: policy for policy in (OURS, STRICT, PLAIN, FIFO)}


@dataclass(frozen=True)
class Week:
    """What is simulated at a time, in a process of its own."""

    policy: str
    load: float
    seed: int
    jobs: int
    on_nodes: bool
    """False: what fits the quota has a place."""

    def simulate(self) -> Figures:
        policy = POLICIES[self.policy]
        arriving = arrivals(self.seed, self.load, self.jobs)
        meter = Meter(arriving[-1].at)
        nodes = Nodes() if self.on_nodes else None
        queue = replace(policy.queue, require_matching_node=policy.looks_at_nodes and self.on_nodes)
        world = World(queue, arriving, policy.fair, policy.prioritised, nodes, watch=meter)
        world.run()
        return judge(world, meter)
