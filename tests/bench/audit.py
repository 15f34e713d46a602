"""The API server's audit log as the benchmark's clock: one `Entry` a request. Used by ground, figures, contenders.

Only requests that are over are read (stages ResponseComplete and Panic; a watch when it ends), so that none counts
twice. Metadata level: who, what, when and with which answer, never a body.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
READS = frozenset({"get", "list"})
_OVER = frozenset({"ResponseComplete", "Panic"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One request. Times are seconds since the epoch, by the API server's clock.

    `name` is "" where the object asked the server to make one (`generateName`) and for collections; `resource` has
    its subresource: "pods", "pods/binding", "batchjobs/status".
    """

    received: float
    done: float
    verb: str
    resource: str
    group: str
    namespace: str
    name: str
    user: str
    agent: str
    code: int

    @property
    def is_write(self) -> bool:
        return self.verb in WRITES

    @property
    def is_read(self) -> bool:
        """A GET or a LIST; watches are counted apart."""
        return self.verb in READS

    @property
    def held(self) -> bool:
        """The server did what was asked."""
        return 200 <= self.code < 300


def decode(line: bytes) -> Entry | None:
    """None for a stage that is not the request's end."""
    raw = orjson.loads(line)
    if raw.get("stage") not in _OVER:
        return None
    ref: dict[str, Any] = raw.get("objectRef") or {}
    resource, sub = ref.get("resource", ""), ref.get("subresource", "")
    return Entry(
        received=_seconds(raw["requestReceivedTimestamp"]),
        done=_seconds(raw["stageTimestamp"]),
        verb=raw["verb"],
        resource=f"{resource}/{sub}" if sub else resource,
        group=ref.get("apiGroup", ""),
        namespace=ref.get("namespace", ""),
        name=ref.get("name", ""),
        user=raw["user"].get("username", ""),
        agent=raw.get("userAgent", ""),
        code=(raw.get("responseStatus") or {}).get("code", 0),
    )


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


class AuditLog:
    """Reads on from where it stopped; a line that is still being written waits for the next call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def new(self) -> Iterator[Entry]:
        """What was logged since the last call, or since this object was made."""
        with self.path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                entry = decode(line)
                if entry is not None:
                    yield entry
