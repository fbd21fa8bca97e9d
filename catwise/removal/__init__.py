"""Removing samples and training again (section 5.1, appendix B.1)."""
