"""The children of a BatchJob as the API server shall have them. Pure builders, called by reconcile only."""
