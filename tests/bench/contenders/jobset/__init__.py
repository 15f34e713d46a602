"""JobSet (sigs.k8s.io/jobset), a peer of the benchmark: its controller as a process of this host, over Jobs."""
