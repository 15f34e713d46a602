"""What a cluster has been given so far, in one JSON file, written before and after each step.

An interrupted `up` leaves it behind, and so `down` and the next `up` know what to end.
"""

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.cluster.errors import ClusterError
from tests.cluster.layout import CHECKOUT, checkout_id, state_home
from tests.cluster.processes import Process
from tests.cluster.progress import say


class State:
    """The file `cluster.json` of one checkout; safe for the two threads of `up`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock = threading.Lock()
        self._path = directory / "cluster.json"
        try:
            self._data: dict[str, Any] = json.loads(self._path.read_text())
        except FileNotFoundError:
            self._data = {}
        except ValueError as problem:
            raise ClusterError(f"{self._path} is not JSON ({problem}); remove it and run `cluster-up` again") from None

    @classmethod
    def of_checkout(cls, checkout: Path = CHECKOUT) -> "State":
        return cls(state_home() / checkout_id(checkout))

    def get(self, key: str, default: Any = None) -> Any:
        with self._lock:
            return self._data.get(key, default)

    def set(self, **values: Any) -> None:
        with self._lock:
            self._data.update(values)
            self._write()

    def add_process(self, process: Process) -> None:
        with self._lock:
            known = [p for p in self._data.get("processes", []) if p["pid"] != process.pid]
            self._data["processes"] = [*known, asdict(process)]
            self._write()

    def drop_process(self, process: Process) -> None:
        with self._lock:
            self._data["processes"] = [p for p in self._data.get("processes", []) if p["pid"] != process.pid]
            self._write()

    def processes(self) -> list[Process]:
        return [Process(**p) for p in self.get("processes", [])]

    def forget(self) -> None:
        with self._lock:
            self._data = {}
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self._data, indent=1))
        os.replace(part, self._path)


@contextmanager
def exclusive(name: str, directory: Path) -> Iterator[None]:
    """Holds the lock file `directory/name.lock`, so that two commands do not build the same thing at once."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another command that holds {handle.name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
