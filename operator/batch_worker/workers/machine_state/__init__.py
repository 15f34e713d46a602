"""machine-state-classification: sensor CSVs in, the state of each window out, by nearest labelled example windows."""
