"""What every stage shares: parameters, files, arrays and checkpoints, results."""
