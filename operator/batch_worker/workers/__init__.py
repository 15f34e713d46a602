"""The reference workers: line_count (the smallest one) and machine_state."""
