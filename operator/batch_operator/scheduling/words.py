"""A Pending in words, for status.message and condition Admitted."""

from functools import lru_cache

from batch_operator.api import quantities
from batch_operator.scheduling.decisions import Pending, Why


@lru_cache(maxsize=4096)
def words(pending: Pending) -> str:
    """What it waits for, how much is missing, who has it."""
    match pending.why:
        case Why.SUSPENDED:
            return "suspended (spec.suspend)"
        case Why.WAITING_FOR_QUOTA:
            text = _for_quota(pending)
        case Why.WAITING_FOR_PREEMPTION:
            others = ", ".join(pending.victims[:3])
            more = f" and {len(pending.victims) - 3} more" if len(pending.victims) > 3 else ""
            text = (
                f"waits until {others}{more} have given way"
                if others
                else "the next quota that comes free is kept for it"
            )
        case Why.BACKING_OFF:
            until = f"{pending.until:%Y-%m-%dT%H:%M:%SZ}" if pending.until else "later"
            text = f"tries again at {until}"
        case _:
            text = pending.detail
    return f"{text}; {pending.no_node}" if pending.no_node and pending.no_node not in text else text


def _for_quota(pending: Pending) -> str:
    if pending.no_room:
        return _for_room(pending)
    if not pending.missing:
        return f"waits behind {pending.behind} (strategy StrictFIFO)" if pending.behind else "waits for its turn"
    parts = []
    for resource, amount in pending.missing:
        holders = ", ".join(
            f"{namespace} {quantities.words(resource, held)}" for r, namespace, held in pending.holders if r == resource
        )
        parts.append(
            f"{quantities.words(resource, amount)} {resource} missing" + (f" (in use: {holders})" if holders else "")
        )
    if pending.reserved_for:
        parts.append("some is kept for a job that waited longer")
    if pending.promised:
        parts.append("some is kept for jobs that come first")
    return "; ".join(parts)


def _for_room(pending: Pending) -> str:
    parts = []
    for pods, each, free, nodes in pending.no_room:
        asked = ", ".join(f"{quantities.words(resource, amount)} {resource}" for resource, amount in each)
        first = each[0][0] if each else ""
        left = f"{quantities.words(first, free)} free on {nodes} node{'' if nodes == 1 else 's'}" if first else ""
        many = f"{pods} pods of {asked} each" if pods > 1 else f"a pod of {asked}"
        parts.append(f"{many}, {left}" if nodes else f"{many}, none free")
    text = f"no room on the nodes: {'; '.join(parts)}"
    return f"{text}; some is kept for a job that waited longer" if pending.reserved_for else text
