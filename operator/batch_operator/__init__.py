"""A Kubernetes operator for GPU batch jobs whose unit of work is an input file.

One way through (docs/architecture.md), imports point down only:

    watch event -> handlers -> workqueue -> cluster.gather -> reconcile -> cluster.apply -> API server
"""

__version__ = "0.1.0"
