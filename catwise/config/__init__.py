"""params.yaml: every key, its type and its range."""
