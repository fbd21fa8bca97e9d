"""Remove samples and train again (section 5.1, appendix B.1)."""
