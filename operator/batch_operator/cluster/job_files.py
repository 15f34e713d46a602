"""`JobFiles`: what is known of the ConfigMaps of living jobs; part of cluster.observations.

Ten thousand jobs may wait, and a parsed file costs 13 KiB and more: all but the last used are kept packed.
"""

from datetime import datetime

from cachetools import LRUCache

from batch_operator.api.job_file import JobFile

RECENT = 256


class JobFiles:
    """By job uid: the job file, whether its ConfigMap has been looked at, and when."""

    def __init__(self, recent: int = RECENT) -> None:
        self._packed: dict[str, bytes] = {}
        """Without those in `_recent`."""
        self._recent: LRUCache[str, JobFile] = LRUCache(recent)
        self._unread: set[str] = set()
        self._read_at: dict[str, datetime] = {}

    def get(self, uid: str) -> JobFile | None:
        if uid not in self._recent and uid in self._packed:
            self._put(uid, JobFile.decode(self._packed[uid]))
        return self._recent.get(uid)

    def is_unread(self, uid: str) -> bool:
        """Nobody has looked what the ConfigMap holds: there is no file, or one that was made anew from the registry."""
        return uid in self._unread or not (uid in self._recent or uid in self._packed)

    def read_at(self, uid: str) -> datetime | None:
        """When the ConfigMap was last looked at."""
        return self._read_at.get(uid)

    def keep(self, uid: str, file: JobFile, *, unread: bool = False) -> None:
        self._put(uid, file)
        if unread:
            self._unread.add(uid)
        else:
            self._unread.discard(uid)

    def look_again(self, uid: str, now: datetime) -> None:
        """The ConfigMap is read now: what was known of it does not count any more."""
        self.forget(uid)
        self._read_at[uid] = now

    def forget(self, uid: str) -> None:
        self._recent.pop(uid, None)
        self._packed.pop(uid, None)
        self._unread.discard(uid)
        self._read_at.pop(uid, None)

    def __len__(self) -> int:
        return len(self._recent) + len(self._packed)

    def _put(self, uid: str, file: JobFile) -> None:
        if uid not in self._recent and len(self._recent) >= self._recent.maxsize:
            oldest, its = self._recent.popitem()
            self._packed[oldest] = its.compressed()
        self._packed.pop(uid, None)
        self._recent[uid] = file
