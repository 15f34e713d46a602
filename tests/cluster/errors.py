"""The one error that every part of tests.cluster raises towards a person."""


class ClusterError(Exception):
    """One or two sentences: what is wrong and what to do; the command line prints them and exits with 1."""
