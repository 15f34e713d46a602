"""The timeouts of a policy, each as the moment at which it is over; None: it does not run.

Their clocks stand in the ledger, so that a restarted operator goes on counting. While a job is suspended none of
them runs: its ledger then has no clock. Called by reconcile.
"""

from datetime import datetime, timedelta

from batch_operator.api.v1alpha1.batchjob import Ledger
from batch_operator.policies.effective_policy import EffectivePolicy, seconds
from batch_operator.policies.verdict import Failure

MAX_START_TIMEOUTS = 3


def assign_due(since: datetime | None, policy: EffectivePolicy) -> datetime | None:
    """`since`: when the job began to wait for its admission."""
    return _after(since, seconds(policy.assign_timeout_seconds))


def start_due(ledger: Ledger, policy: EffectivePolicy) -> datetime | None:
    return _after(ledger.starting_since, seconds(policy.start_timeout_seconds))


def run_due(ledger: Ledger, policy: EffectivePolicy) -> datetime | None:
    """Running time counts over all attempts; waiting between them does not."""
    limit = seconds(policy.run_timeout_seconds)
    return None if limit is None else _after(ledger.running_since, limit - timedelta(seconds=ledger.run_seconds or 0))


def assign_failure(policy: EffectivePolicy, words: str) -> Failure:
    return Failure(
        "ASSIGN_TIMEOUT",
        f"not admitted within policy.assign_timeout_seconds, {policy.assign_timeout_seconds} s"
        + (f"; it waited for: {words}" if words else ""),
        "Request a retry when there is room for it (annotation batch-operator.dev/retry-requested-at).",
    )


def run_failure(policy: EffectivePolicy) -> Failure:
    return Failure(
        "RUN_TIMEOUT",
        f"ran longer than policy.run_timeout_seconds, {policy.run_timeout_seconds} s, over all attempts",
        "Raise the limit or the parallelism, then request a retry (annotation batch-operator.dev/retry-requested-at): "
        "it goes on with the inputs that are left.",
    )


def start_failure(policy: EffectivePolicy, words: str) -> Failure:
    return Failure(
        "START_TIMEOUT",
        f"did not start within policy.start_timeout_seconds, {policy.start_timeout_seconds} s, "
        f"{MAX_START_TIMEOUTS} times" + (f"; the last time: {words}" if words else ""),
        "See what its pods wait for, then request a retry (annotation batch-operator.dev/retry-requested-at).",
    )


def _after(since: datetime | None, limit: timedelta | None) -> datetime | None:
    return None if since is None or limit is None else since + limit
