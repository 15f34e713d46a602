"""The timeouts of a policy, each as the moment at which it is over; None: it does not run.

Their clocks stand in the ledger, so that a restarted operator goes on counting. While a job is suspended none of
them runs: its ledger then has no clock. Called by reconcile.
"""

import zlib
from datetime import datetime, timedelta

from batch_operator.api.v1alpha1.batchjob import Ledger
from batch_operator.policies.effective_policy import EffectivePolicy, seconds
from batch_operator.policies.verdict import Failure

MAX_START_TIMEOUTS = 3
LEAST_SPREAD_SECONDS = 10.0


def assign_due(since: datetime | None, policy: EffectivePolicy) -> datetime | None:
    """`since`: when the job began to wait for its admission."""
    return _after(since, seconds(policy.assign_timeout_seconds))


def start_due(ledger: Ledger, policy: EffectivePolicy) -> datetime | None:
    return _after(ledger.starting_since, seconds(policy.start_timeout_seconds))


def start_retry_delay(uid: str, number: int, base: timedelta) -> timedelta:
    """The wait after the `number`th start timeout (from 1), in whole seconds: doubled each time, and up to twice as
    long (and at least up to 10 s longer) for some jobs than for others, so that two gangs that held each other do not
    meet again."""
    wait = base.total_seconds() * (1 << (number - 1))
    spread = zlib.crc32(uid.encode()) / 2**32
    return timedelta(seconds=int(wait + spread * max(wait, LEAST_SPREAD_SECONDS)))


def run_due(ledger: Ledger, policy: EffectivePolicy) -> datetime | None:
    """Running time counts over all attempts; waiting between them does not."""
    limit = seconds(policy.run_timeout_seconds)
    return None if limit is None else _after(ledger.running_since, limit - timedelta(seconds=ledger.run_seconds or 0))


def believable(ledger: Ledger, now: datetime, policy: EffectivePolicy, start_retry_delay: timedelta) -> Ledger:
    """The ledger with no moment in it that cannot be: an operator whose clock was a day ahead may have written it. What
    began in the future begins now, and nothing waits for longer than its rule can make it wait.
    """
    longest = max(timedelta(seconds=policy.backoff_limit_seconds), start_retry_delay * (1 << MAX_START_TIMEOUTS))

    def begun(moment: datetime | None) -> datetime | None:
        return moment if moment is None else min(moment, now)

    def awaited(moment: datetime | None) -> datetime | None:
        return now if moment is not None and moment > now + longest else moment

    components = {
        name: known.model_copy(
            update={
                "next_retry": {i: awaited(when) for i, when in (known.next_retry or {}).items()} or None,
                "slow_since": {i: begun(when) for i, when in (known.slow_since or {}).items()} or None,
            }
        )
        for name, known in (ledger.components or {}).items()
    }
    admission = ledger.admission and ledger.admission.model_copy(
        update={"admitted_at": begun(ledger.admission.admitted_at), "queued_at": begun(ledger.admission.queued_at)}
    )
    return ledger.model_copy(
        update={
            "components": components or None,
            "admission": admission,
            "starting_since": begun(ledger.starting_since),
            "running_since": begun(ledger.running_since),
            "waiting_since": awaited(ledger.waiting_since),
            "next_admission": awaited(ledger.next_admission),
        }
    )


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
