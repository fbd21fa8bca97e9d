"""Compute influence vectors (section 3.3, Eq. 1): layers, curvature, factors, and P in one pass."""
