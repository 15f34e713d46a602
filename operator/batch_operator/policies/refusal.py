"""What a refused create means for the job (design section 2, "Pods that never start").

A ResourceQuota may free up by itself: the job is PENDING and tries again with back-off. Pod Security, an unknown
PriorityClass and the like need a person: the job is Stalled with the server's words, and tries again rarely.
"""

from datetime import datetime, timedelta

from batch_operator.api.v1alpha1.conditions import Reason
from batch_operator.snapshot import Refusal

QUOTA = "Quota"
QUOTA_FIRST = timedelta(seconds=5)
QUOTA_MOST = timedelta(minutes=2)
PERSON = timedelta(minutes=1)


def next_try(refusal: Refusal) -> datetime:
    if refusal.kind != QUOTA:
        return refusal.at + PERSON
    doublings = min(refusal.times - 1, 10)
    return refusal.at + min(QUOTA_FIRST * (1 << doublings), QUOTA_MOST)


def reason(refusal: Refusal) -> Reason:
    return Reason.NAMESPACE_QUOTA if refusal.kind == QUOTA else Reason.CREATE_REFUSED
