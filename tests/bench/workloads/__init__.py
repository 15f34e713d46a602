"""What is asked of the contenders: one module a workload, each with functions that do one run and return a record."""
