"""Say what may stand in params.yaml, and check it."""
