"""A week of load on the pure scheduler, on a virtual clock; see __main__."""
