"""A plain kopf operator, a peer of the benchmark: as kopf's own documentation would have one written."""
