"""`python3 -m batch_worker WORKER`: the command of every worker container."""

import argparse
import os
import sys
from collections.abc import Sequence

# One thread a process: the pod's CPU request is what it may use, threads would make sums of another order, and so
# other bytes, on another machine. Set before numpy is imported for the first time.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS", "ARROW_IO_THREADS"):
    os.environ[_name] = "1"
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

from batch_worker import registry, runner  # noqa: E402 - after the lines above


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named worker in this pod's environment; the process's exit code (see errors.py)."""
    parser = argparse.ArgumentParser(
        prog="batch-worker", description="Runs a worker of the batch operator inside its pod."
    )
    parser.add_argument("worker", choices=registry.names(registry.WORKERS), help="which worker to run")
    chosen = parser.parse_args(arguments)
    return runner.main(lambda: registry.find(registry.WORKERS, chosen.worker)(), os.environ)


if __name__ == "__main__":
    sys.exit(main())
