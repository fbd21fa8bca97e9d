"""Hold what every other package uses: errors, losses, statistics, progress."""
