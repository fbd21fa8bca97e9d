"""Hold what every other package uses: errors, losses, number formats, statistics, progress."""
