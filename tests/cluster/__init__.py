"""A Kubernetes cluster for the tests and the demo, on this machine: `python3 -m tests.cluster up`.

Only the standard library: it runs before any virtual environment exists. The tests and the demo read the
result by `tests.cluster.connection`; docs/adr says why it is built as it is.
"""
