"""Sends the state to the operator and keeps the termination message current, from a thread of its own.

`runner` starts and closes it. Reporting never breaks and never holds up the work: every failure is logged once and
tried again later, and the termination message alone tells the operator all that it needs.
"""

import http.client
import os
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from batch_worker import log
from batch_worker.report import State, encode, termination_message

Send = Callable[[bytes], int]


@dataclass(frozen=True)
class Pace:
    """Seconds. `interval` between reports of mere progress, `ended` after one that told an input's end,
    `heartbeat` without news.
    """

    interval: float = 5.0
    ended: float = 0.5
    heartbeat: float = 20.0
    request: float = 5.0
    close: float = 3.0


class Endpoint:
    """POST to the progress URL. The token and the CA are read for every request: the kubelet renews both files."""

    def __init__(self, url: str, token_file: Path | None, ca_file: Path | None, timeout: float = Pace.request) -> None:
        self._url, self._token_file, self._ca_file, self._timeout = url, token_file, ca_file, timeout

    def __call__(self, body: bytes) -> int:
        """The answer's HTTP status. Raises OSError, ValueError or http.client.HTTPException."""
        url = urlsplit(self._url)
        if url.scheme not in ("https", "http") or not url.hostname:
            raise ValueError(f"BATCH_PROGRESS_URL {self._url!r} is no http(s) URL")
        headers = {"Content-Type": "application/json"}
        if self._token_file is not None:
            headers["Authorization"] = "Bearer " + self._token_file.read_text(encoding="ascii").strip()
        connection: http.client.HTTPConnection
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
            connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=self._timeout, context=context)
        else:
            connection = http.client.HTTPConnection(url.hostname, url.port, timeout=self._timeout)
        try:
            connection.request("POST", url.path or "/", body=body, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()


class Reporter:
    """Watches a State. Without `send` it only keeps the termination message."""

    def __init__(
        self,
        state: State,
        send: Send | None,
        termination_log: Path,
        pace: Pace = Pace(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state, self._send, self._log_path, self._pace, self._clock = state, send, termination_log, pace, clock
        self._wake = threading.Event()
        self._log_lock = threading.Lock()
        self._logged_revision = -1
        self._closing = False
        self._trouble = ""
        self._sent_at = self._tried_at = float("-inf")
        self._sent_ended = self._sent_revision = -1
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        """Begin; the first report goes out at once, so that the operator sees a living worker."""
        self._thread.start()

    def nudge(self) -> None:
        """An input ended: report now."""
        self._wake.set()

    def close(self) -> None:
        """Write the last termination message, try one last report, and give up on it after `pace.close` seconds."""
        self._write_termination_message()
        self._closing = True
        self._wake.set()
        self._thread.join(self._pace.close)
        self._write_termination_message()

    def due_in(self) -> float:
        """Seconds until the next report is due, 0 or less for now."""
        now, pace = self._clock(), self._pace
        if self._failures:
            return self._tried_at + min(2.0 ** (self._failures - 1), pace.heartbeat) - now
        if self._state.ended != self._sent_ended:
            return self._sent_at + pace.ended - now
        if self._state.revision != self._sent_revision:
            return self._sent_at + pace.interval - now
        return self._sent_at + pace.heartbeat - now

    def report(self) -> None:
        """Send the whole state once; whatever goes wrong is remembered and logged, never raised."""
        revision, ended = self._state.revision, self._state.ended
        self._tried_at = self._clock()
        try:
            status = self._send(encode(self._state.body())) if self._send else 204
            trouble = "" if status == 204 else f"the operator answered {status}"
        except Exception as error:  # noqa: BLE001 - reporting never breaks the work, whatever it meets
            trouble = f"{type(error).__name__}: {error}"
        if trouble != self._trouble:
            if trouble:
                log.warning("a progress report failed; the work goes on and it is tried again", reason=trouble)
            else:
                log.info("progress reports arrive again")
        self._trouble = trouble
        if trouble:
            self._failures += 1
        else:
            self._failures, self._sent_at, self._sent_revision, self._sent_ended = 0, self._tried_at, revision, ended

    def _run(self) -> None:
        while True:
            closing = self._closing
            self._write_termination_message()
            if closing or self.due_in() <= 0:
                self.report()
            if closing:
                return
            # An event may come at any time; its own minimum distance is kept by due_in.
            self._wake.wait(max(0.01, min(self.due_in(), self._pace.interval)))
            self._wake.clear()

    def _write_termination_message(self) -> None:
        """In place, as the kubelet mounts this one file; never created, as outside a pod it has no meaning."""
        with self._log_lock:
            if self._state.revision == self._logged_revision:
                return
            self._logged_revision = self._state.revision
            self._overwrite(termination_message(self._state.body()))

    def _overwrite(self, message: bytes) -> None:
        try:
            handle = os.open(self._log_path, os.O_WRONLY | os.O_TRUNC)
        except OSError:
            return
        try:
            os.write(handle, message)
        except OSError as error:
            log.warning("the termination message cannot be written", reason=str(error))
        finally:
            os.close(handle)
