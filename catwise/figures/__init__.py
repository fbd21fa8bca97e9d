"""Draw the figures: typed results in, pictures with their words out."""
