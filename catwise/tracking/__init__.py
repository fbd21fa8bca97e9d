"""Log what a run of the pipeline made to MLflow, once for every state."""
