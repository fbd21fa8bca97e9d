"""Run the long experiments of the stages, spread over workers, resumable."""
