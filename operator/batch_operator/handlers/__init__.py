"""The operator's edges: what kopf calls, what the workqueue calls, what runs beside them. Nothing is decided here."""
