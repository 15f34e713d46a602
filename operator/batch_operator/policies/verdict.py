"""The verdicts that rules return when a job cannot simply go on."""

from dataclasses import dataclass

from batch_operator.api.v1alpha1.conditions import Reason
from batch_operator.api.words import shortened


class InvalidRequest(ValueError):
    """The job asks for what its pipeline does not take; it fails at once with code INVALID_REQUEST."""

    def __init__(self, message: str, suggestion: str) -> None:
        super().__init__(message)
        self.message = shortened(message)
        self.suggestion = shortened(suggestion)


@dataclass(frozen=True, slots=True)
class Stalled:
    """The job waits until a person changes something outside of it."""

    reason: Reason
    message: str
    suggestion: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", shortened(self.message))


@dataclass(frozen=True, slots=True)
class Failure:
    """The job fails: what JobError will say."""

    code: str
    message: str
    suggestion: str | None = None
    component: str | None = None
    input: int | None = None
    exit_code: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", shortened(self.message))
