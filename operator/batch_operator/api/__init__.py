"""The types of the API group batch-operator.dev, and what is written in its names, labels and reasons."""
