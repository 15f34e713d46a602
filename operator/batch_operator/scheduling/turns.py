"""What the last decisions say of one waiting job, as its status is to say it.

Called by cluster.gather for each pass, and by handlers.telling, which looks for statuses that say something else.
"""

from batch_operator.scheduling.decisions import Decisions
from batch_operator.scheduling.positions import step
from batch_operator.scheduling.words import words
from batch_operator.snapshot import Turn


def of(decisions: Decisions, uid: str, queue: str, *, tell: bool) -> Turn | None:
    """None: it was not among the waiting jobs, or it was admitted, or it waited in another queue's line."""
    pending, position = decisions.pending.get(uid), decisions.positions.get(uid)
    if pending is None or (position is not None and queue not in decisions.depths):
        return None
    return Turn(
        reason=pending.why.value,
        words=words(pending),
        is_stalled=pending.why.is_stalled,
        position=None if position is None else step(position),
        depth=None if position is None else step(decisions.depths[queue]),
        tell=tell,
    )
