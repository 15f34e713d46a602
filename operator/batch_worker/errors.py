"""The ways in which a worker ends early, and the exit code of each (design section 2, "Why a pod ended", rule 4).

Raised by workers and by the SDK's own modules; only `runner` turns them into exit codes and reports.
"""

EXIT_DONE = 0
EXIT_BAD_CONFIG = 64
EXIT_BAD_DATA = 65
EXIT_STOPPED = 75


class InvalidConfig(Exception):
    """The job can never succeed as it is written: exit 64, which fails the whole job at once.

    `message` names the field's path, `suggestion` says what to do; `code` is the job's `status.error.code`.
    """

    def __init__(self, message: str, suggestion: str, code: str = "INVALID_REQUEST") -> None:
        super().__init__(message)
        self.code, self.message, self.suggestion = code, message, suggestion


class InputError(Exception):
    """One input cannot be processed; it is failed with this reason (120 characters count) and the others go on."""


class Stopped(Exception):
    """SIGTERM came: leave the work where it is. The parts that are already written stay valid. Exit 75."""


class EndedByConfig(Exception):
    """A worker ends the process with a code of its own choosing (line-count's fail_with_exit_code)."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"ends with exit code {exit_code}, as its config says")
        self.exit_code = exit_code
