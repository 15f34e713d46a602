"""Progress by input: what pods and their reports say, folded into what the ledger already knows.

Completed and failed inputs only grow; the four counts always sum to the tracked inputs; a finished pod's
word is final (design section 4).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from batch_operator.api import ranges
from batch_operator.api.job_file import JobFile
from batch_operator.api.report import Report
from batch_operator.api.v1alpha1.batchjob import (
    MAX_FAILURES,
    ComponentLedger,
    InputFailure,
    InputProgress,
    Ledger,
)
from batch_operator.policies import pod_outcome
from batch_operator.policies.pod_outcome import Outcome
from batch_operator.snapshot import PodRecord

NOT_REPORTED = "NOT_REPORTED: the worker ended without a word on this input"
NO_REASON = "the worker gave no reason"


@dataclass(slots=True)
class _Tally:
    completed: set[int]
    failed: set[int]
    processing: set[int] = field(default_factory=set)
    reasons: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of all inputs and indexes of a job."""

    total: int
    completed: frozenset[int]
    failed: frozenset[int]
    processing: frozenset[int]
    reasons: Mapping[int, str]
    succeeded_indexes: Mapping[str, frozenset[int]]
    notices: tuple[str, ...]

    @property
    def done(self) -> int:
        return len(self.completed) + len(self.failed)

    @property
    def ended(self) -> frozenset[int]:
        """Inputs that are not open any more."""
        return self.completed | self.failed

    @property
    def counts(self) -> InputProgress:
        pending = self.total - self.done - len(self.processing)
        return InputProgress(
            pending=pending,
            processing=len(self.processing),
            completed=len(self.completed),
            failed=len(self.failed),
        )


def fold(job_file: JobFile, ledger: Ledger, pods: Iterable[PodRecord], reports: Mapping[str, Report]) -> Progress:
    """`pods`: the job's own, of known components and indexes and of their current attempt only: what an older one
    said is in the ledger. `reports`: the newest by pod uid."""
    tally = _Tally(
        completed=set(ranges.parse(ledger.completed_inputs or "")),
        failed=set(ranges.parse(ledger.failed_inputs or "")),
    )
    succeeded = {name: set(succeeded_indexes(known)) for name, known in (ledger.components or {}).items()}
    notices: dict[str, None] = {}
    for pod in sorted(pods, key=lambda p: (p.component, p.index)):
        report = pod_outcome.last_word(pod) or reports.get(pod.uid)
        block = _block(pod, job_file)
        ended = _take(tally, pod, block, report)
        if report and report.notice:
            notices[report.notice] = None
        if ended:
            succeeded[pod.component].add(pod.index)
    processing = tally.processing - tally.completed - tally.failed
    return Progress(
        job_file.input_count,
        frozenset(tally.completed),
        frozenset(tally.failed),
        frozenset(processing),
        tally.reasons,
        {name: frozenset(indexes) for name, indexes in succeeded.items()},
        tuple(notices),
    )


def succeeded_indexes(component: ComponentLedger) -> frozenset[int]:
    return ranges.parse(component.succeeded_indexes or "")


def _block(pod: PodRecord, job_file: JobFile) -> frozenset[int]:
    """The pod's frozen block; annotations can be edited, so only numbers of its own component count."""
    return pod_outcome.block(pod) & job_file.number_sets.get(pod.component, frozenset())


def _take(tally: _Tally, pod: PodRecord, block: frozenset[int], report: Report | None) -> bool:
    """-> whether the pod's index has ended."""
    known = block & (tally.completed | tally.failed)
    if report is not None:
        tally.completed |= (report.completed & block) - tally.failed
        tally.failed |= (report.failed & block) - tally.completed
        tally.reasons.update({n: why for n, why in report.reasons.items() if n in block})
        if pod.is_live:
            tally.processing |= report.processing & block
    if pod_outcome.outcome(pod, tally.completed | tally.failed) is not Outcome.ENDED:
        return False
    still_open = block - tally.completed - tally.failed
    if report is None and not known and pod.exit_code != pod_outcome.EXIT_BAD_DATA:
        tally.completed |= still_open  # it never reported: exit 0 speaks for its whole block
        return True
    tally.failed |= still_open
    tally.reasons.update(dict.fromkeys(still_open, NOT_REPORTED))
    return True


def failures(progress: Progress, known: Iterable[InputFailure], job_file: JobFile) -> list[InputFailure]:
    """The first failed inputs with their reasons; a reason once told is kept."""
    told = {failure.input: failure.message for failure in known}
    return [
        InputFailure(
            input=number,
            file_id=job_file.file_id(number),
            message=progress.reasons.get(number) or told.get(number) or NO_REASON,
        )
        for number in sorted(progress.failed)[:MAX_FAILURES]
    ]


def ledger_components(progress: Progress, known: Mapping[str, ComponentLedger]) -> dict[str, ComponentLedger]:
    return {
        name: component.model_copy(
            update={"succeeded_indexes": ranges.format_ranges(progress.succeeded_indexes.get(name, ())) or None}
        )
        for name, component in known.items()
    }
