"""Lines that show a person that a long step is alive; every part of tests.cluster prints through here."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_STARTED = time.monotonic()
_HEARTBEAT_SECONDS = 15.0


def say(text: str) -> None:
    """Prints one line with the seconds since the command began, to stderr: stdout is for what a shell reads."""
    print(f"[{time.monotonic() - _STARTED:6.1f}s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Says `text` at once and, while the body runs, every 15 s that it still does."""
    say(text)
    begun = time.monotonic()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(_HEARTBEAT_SECONDS):
            say(f"  … still: {text} ({time.monotonic() - begun:.0f} s)")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
