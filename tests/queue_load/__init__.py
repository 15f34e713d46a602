"""The queue's figures on the real API server: `make queue-load`."""
