"""When a job has ended, and how: by its inputs, not by its exit codes alone (design section 2)."""

from batch_operator.policies.effective_policy import EffectivePolicy, within
from batch_operator.policies.progress import Progress
from batch_operator.policies.verdict import Failure


def inputs_failure(progress: Progress, policy: EffectivePolicy, *, ended: bool) -> Failure | None:
    """More inputs failed than the policy allows; judged when all have ended, or at once with fail_fast."""
    limit = policy.max_failed_inputs
    failed = len(progress.failed)
    if within(failed, limit) or not (ended or policy.fail_fast):
        return None
    first = progress.reasons.get(min(progress.failed))
    return Failure(
        "INPUTS_FAILED",
        f"{failed} of {progress.total} inputs failed; policy.max_failed_inputs allows {limit}"
        + (f"; the first: {first}" if first else ""),
        "status.failures has the first of them and why; the results of the others are complete.",
        input=min(progress.failed),
    )
