"""Run the long experiments of the stages: trainings and epochs, spread over workers, resumable."""
