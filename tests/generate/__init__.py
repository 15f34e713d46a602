"""Makes the files that are generated and committed; see __main__."""
