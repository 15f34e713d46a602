"""Faults on the real API server: what tests/unit/faults does on the fake one, with a proxy in between."""
