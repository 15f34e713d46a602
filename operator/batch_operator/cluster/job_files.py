"""`JobFiles`: the job files of living jobs, as their ConfigMaps hold them; part of cluster.observations.

Ten thousand jobs may wait, and a parsed file costs 13 KiB and more: all but the last used are kept packed.
"""

from collections.abc import Iterator, MutableMapping

from cachetools import LRUCache

from batch_operator.api.job_file import JobFile

RECENT = 256


class JobFiles(MutableMapping[str, JobFile]):
    """By job uid."""

    def __init__(self, recent: int = RECENT) -> None:
        self._packed: dict[str, bytes] = {}
        """Without those in `_recent`."""
        self._recent: LRUCache[str, JobFile] = LRUCache(recent)

    def __getitem__(self, uid: str) -> JobFile:
        if uid not in self._recent:
            self[uid] = JobFile.decode(self._packed[uid])
        return self._recent[uid]

    def __setitem__(self, uid: str, file: JobFile) -> None:
        if uid not in self._recent and len(self._recent) >= self._recent.maxsize:
            oldest, its = self._recent.popitem()
            self._packed[oldest] = its.compressed()
        self._packed.pop(uid, None)
        self._recent[uid] = file

    def __delitem__(self, uid: str) -> None:
        if self._recent.pop(uid, None) is None:
            del self._packed[uid]

    def __contains__(self, uid: object) -> bool:
        return uid in self._recent or uid in self._packed

    def __iter__(self) -> Iterator[str]:
        yield from (*self._recent, *self._packed)

    def __len__(self) -> int:
        return len(self._recent) + len(self._packed)
