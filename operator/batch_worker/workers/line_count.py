"""line-count: counts the lines of each input. The smallest real worker, and the one that tests and demos drive.

Config (all optional): `seconds_per_input` makes each input take at least that long; `fail_with_exit_code` ends the
process with that code when input number `fail_after_inputs` of this pod (from 0) would begin, only in attempts below
`fail_until_attempt` (-1: in every attempt).
"""

import time
from collections.abc import Mapping
from typing import Any

from batch_worker.errors import EndedByConfig, InvalidConfig
from batch_worker.job import Input, Job
from batch_worker.parts import Items, Parts
from batch_worker.runner import Stop
from batch_worker.storage import Store

_LINES_A_PART = 1_000_000
_CHUNK = 1024 * 1024
_DEFAULTS: Mapping[str, float] = {
    "seconds_per_input": 0,
    "fail_with_exit_code": 0,
    "fail_after_inputs": 0,
    "fail_until_attempt": -1,
}


class LineCount:
    """Implements runner.Worker. A last line without a newline counts."""

    def prepare(self, job: Job, inputs: Store, stop: Stop) -> None:
        """Check the config. Raises InvalidConfig."""
        self._inputs, self._stop, self._attempt = inputs, stop, job.attempt
        self._config = {**_DEFAULTS, **job.config}
        for name, value in self._config.items():
            path = f"spec.parameters.{job.component}.config.{name}"
            if name not in _DEFAULTS:
                raise InvalidConfig(
                    f"{path}: line-count has no such setting", f"Use one of {', '.join(sorted(_DEFAULTS))}."
                )
            whole = name != "seconds_per_input"
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise InvalidConfig(f"{path}: {value!r} is not a {'whole ' if whole else ''}number", "Give a number.")
        self._started = 0

    def maker(self) -> dict[str, Any]:
        """Nothing in the config changes the result."""
        return {"worker": "line-count", "worker_version": 1, "lines_a_part": _LINES_A_PART}

    def notice(self) -> str:
        """None."""
        return ""

    def process(self, source: Input, path: str, results: Parts) -> None:
        """One part for each million lines: the number of its first line and how many lines it has."""
        self._maybe_fail()
        until = time.monotonic() + self._config["seconds_per_input"]
        lines = ended = 0
        last = b"\n"
        with self._inputs.reader(path) as file:
            while chunk := file.read(_CHUNK):
                self._stop.check()
                lines, last = lines + chunk.count(b"\n"), chunk[-1:]
                ended = self._write_full(results, ended, lines)
        lines += last != b"\n"
        ended = self._write_full(results, ended, lines)
        if lines > ended or not results.next_number:
            self._write(results, lines - ended)
        self._stop.sleep(until - time.monotonic())

    def _write_full(self, results: Parts, ended: int, lines: int) -> int:
        while lines - ended >= _LINES_A_PART:
            self._write(results, _LINES_A_PART)
            ended += _LINES_A_PART
        return ended

    @staticmethod
    def _write(results: Parts, lines: int) -> None:
        if not results.skip_complete():
            first = results.next_number * _LINES_A_PART
            results.write(f"first_line,lines\n{first},{lines}\n".encode(), Items(lines))

    def _maybe_fail(self) -> None:
        code, until = int(self._config["fail_with_exit_code"]), self._config["fail_until_attempt"]
        if code and self._started >= self._config["fail_after_inputs"] and (until < 0 or self._attempt < until):
            raise EndedByConfig(code)
        self._started += 1
