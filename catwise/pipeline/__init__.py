"""Share between stages what they read and write."""
