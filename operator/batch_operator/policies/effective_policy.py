"""The policy that counts: the job's own fields, else the pipeline's retry_policy, else the defaults."""

from dataclasses import dataclass
from datetime import timedelta

from batch_operator.api.v1alpha1.schema_types import Policy

UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """A policy with nothing left open; the numbers are design section 1's."""

    max_retries: int = 3
    backoff_seconds: int = 10
    backoff_limit_seconds: int = 600
    max_preemptions: int = UNLIMITED
    max_failed_inputs: int = 0
    fail_fast: bool = False
    assign_timeout_seconds: int = UNLIMITED
    start_timeout_seconds: int = 600
    run_timeout_seconds: int = UNLIMITED
    grace_seconds: int = 30
    ttl_seconds_after_finished: int = UNLIMITED
    ttl_deletes_job: bool = False

    def backoff(self, failures: int) -> timedelta:
        """The wait before the next pod after `failures` in a row (from 1): it doubles, up to the limit."""
        doubled = self.backoff_seconds << min(max(failures - 1, 0), 30)
        return timedelta(seconds=min(doubled, self.backoff_limit_seconds))


def within(count: int, limit: int) -> bool:
    """Whether `count` keeps to a limit of which -1 is none."""
    return limit == UNLIMITED or count <= limit


def seconds(limit: int) -> timedelta | None:
    """A timeout of a policy; None: there is none."""
    return None if limit == UNLIMITED else timedelta(seconds=limit)


def effective(job: Policy, pipeline: Policy | None = None) -> EffectivePolicy:
    given = (pipeline or Policy()).model_dump(exclude_none=True) | job.model_dump(exclude_none=True)
    return EffectivePolicy(**given)
