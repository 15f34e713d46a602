"""SDK for the worker side of the pod contract (docs/pod-contract.md), and the reference workers built on it.

A worker implements `Worker`; `runner.main` does the rest: job file, inputs, parts and commit records, progress,
signals, exit codes. Imports nothing of batch_operator.
"""

from batch_worker.errors import EndedByConfig, InputError, InvalidConfig, Stopped
from batch_worker.job import Input, Job
from batch_worker.parts import Items, Parts
from batch_worker.runner import Stop, Worker, main
from batch_worker.storage import Store

__all__ = [
    "EndedByConfig",
    "Input",
    "InputError",
    "InvalidConfig",
    "Items",
    "Job",
    "Parts",
    "Stop",
    "Stopped",
    "Store",
    "Worker",
    "main",
]
