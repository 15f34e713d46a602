"""The queue: who is admitted, who gives way, who waits at which place and why. Pure."""
