"""`make demo`: from a fresh clone to classified sensor data, on a real cluster of this machine."""
