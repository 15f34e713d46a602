"""What a decoded job costs; what it says is tried wherever one is read."""

from batch_operator.api.v1alpha1.batchjob import Ledger
from tests.builders import admitted, make_batchjob


def test_jobs_share_what_pydantic_notes_of_their_fields() -> None:
    one, other = make_batchjob(name="one"), make_batchjob(name="other")
    assert one.model_fields_set is other.model_fields_set
    assert one.spec.model_fields_set is other.spec.model_fields_set
    files = [file for job in (one, other) for file in job.spec.inputs["worker.n_shots"]]  # type: ignore[index]
    assert len({id(file.model_fields_set) for file in files}) == 1
    (first, _), (second, _) = admitted(one), admitted(other)
    assert first.status.model_fields_set is second.status.model_fields_set
    assert first.status.ledger is not None
    assert second.status.ledger is not None
    assert first.status.ledger.model_fields_set is second.status.ledger.model_fields_set


def test_a_changed_copy_leaves_the_others_notes_alone() -> None:
    one, other = make_batchjob(), make_batchjob()
    before = set(other.status.model_fields_set)
    changed = one.status.model_copy(update={"ledger": Ledger(), "message": "more"})
    assert {"ledger", "message"} <= changed.model_fields_set
    assert other.status.model_fields_set == before
