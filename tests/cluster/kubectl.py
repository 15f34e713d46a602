"""kubectl as this package calls it: our own build, one kubeconfig, errors in the server's words."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.errors import ClusterError

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Kubectl:
    """`context` is "" for the kubeconfig's current one."""

    program: Path | str
    kubeconfig: Path | str
    context: str = ""

    def run(self, *arguments: str, stdin: Any = None, timeout_seconds: int = 30) -> str:
        """stdout of one call; `stdin` is an object, sent as JSON. Raises ClusterError with kubectl's words."""
        argv = [str(self.program), f"--kubeconfig={self.kubeconfig}", f"--request-timeout={timeout_seconds}s"]
        if self.context:
            argv.append(f"--context={self.context}")
        result = subprocess.run(
            [*argv, *arguments],
            input=None if stdin is None else json.dumps(stdin),
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def get(self, *arguments: str) -> Any:
        return json.loads(self.run("get", *arguments, "-o", "json"))

    def wait_until(self, what: str, seconds: float, ask: Callable[["Kubectl"], bool]) -> None:
        """Polls `ask` until true; raises ClusterError with the last trouble once `seconds` are over."""
        deadline = time.monotonic() + seconds
        trouble = ""
        while time.monotonic() < deadline:
            try:
                if ask(self):
                    return
                trouble = "not yet so"
            except ClusterError as problem:
                trouble = str(problem)
            time.sleep(_POLL_SECONDS)
        raise ClusterError(f"{what} did not come true in {seconds:.0f} s: {trouble}")
