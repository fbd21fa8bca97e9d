"""Compute influence vectors (section 3.3, Eq. 1)."""
