"""Share between stages what they read and write: parameters, files, checkpoints, results."""
