"""The rules, one a file, each pure: values in, a verdict out. Called by reconcile only."""
