"""Imported before any test here imports numpy: the worker's own limit of one thread holds for its tests too."""

from batch_worker import cli  # noqa: F401
