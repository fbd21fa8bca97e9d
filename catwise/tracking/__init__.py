"""What a run in MLflow shows."""
