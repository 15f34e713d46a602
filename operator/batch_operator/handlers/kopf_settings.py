"""kopf's settings and the reason of each (docs/adr/0002). Called by handlers.lifecycle.

kopf watches our own kinds and runs the process; it keeps no state on objects, posts nothing and elects nobody.
"""

from collections.abc import Iterator
from typing import Any

import kopf

from batch_operator.api import names
from batch_operator.handlers.kopf_session import SERVER_TIMEOUT_SECONDS

INACTIVITY_SECONDS = 75.0  # the API server sends a bookmark about every minute


class NoDiffBase(kopf.DiffBaseStorage):
    """No handler of ours compares with an earlier state; the default would deep-copy every object on every event."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        return None


class NoProgress(kopf.ProgressStorage):
    """No handler of ours is retried by kopf, so that there is no progress to keep in annotations."""

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: Any) -> Any:
        return essence


class ForEver:
    """Back-off that never ends: the default gives up after a minute of 5xx, and kopf then ends the process."""

    def __iter__(self) -> Iterator[float]:
        yield from (1, 2, 5, 10)
        while True:
            yield 20


def settings() -> kopf.OperatorSettings:
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True  # our kinds are known; no list of namespaces and CRDs is needed
    chosen.posting.enabled = False  # Events are ours to write
    chosen.peering.standalone = True  # not a lock
    chosen.persistence.finalizer = f"{names.GROUP}/never-used"
    chosen.persistence.diffbase_storage = NoDiffBase()
    chosen.persistence.progress_storage = NoProgress()
    chosen.queueing.idle_timeout = 0.1  # a worker task of kopf's per live object, gone soon after its event
    chosen.queueing.exit_timeout = 2
    chosen.watching.server_timeout = SERVER_TIMEOUT_SECONDS  # whole seconds: the API server refuses 240.0
    chosen.watching.inactivity_timeout = INACTIVITY_SECONDS
    chosen.watching.connect_timeout = 10
    chosen.networking.connect_timeout = 10
    chosen.networking.request_timeout = 30
    chosen.networking.error_backoffs = ForEver()
    return chosen
