"""A process that has imported the operator, and forks one whenever it is asked: a start then takes no second of CPU.

Each line on stdin is {"environment": {…}, "log": path, "bug": name}; the answer on stdout is the new operator's pid.
Its end is stdin's end; operators end with it. `bug`: one of tests/unit/faults/bugs.py, to see that it is caught; "" is
none. Run by operator_process as `python -m tests.faults.zygote`.
"""

import ctypes
import gc
import json
import os
import signal
import sys
from typing import Any

from batch_operator.main import main as operator_main

_PR_SET_PDEATHSIG = 1


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever waits for one has a pidfd; none stays a zombie
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be_the_operator(order)
        print(pid, flush=True)


def _be_the_operator(order: dict[str, Any]) -> None:
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for ours, theirs in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(ours, theirs)
        os.environ.clear()
        os.environ.update(order["environment"])
        if order["bug"]:
            _put_in(order["bug"])
        code = operator_main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # never back into the zygote's loop


def _put_in(name: str) -> None:
    import pytest  # here: an operator without a bug has nothing of the tests in it

    from tests.unit.faults.seeded import BUGS

    next(bug for bug in BUGS if bug.name == name).put_in(pytest.MonkeyPatch())


if __name__ == "__main__":
    main()
