"""Make things go wrong, and count how often they are met as they should be."""
