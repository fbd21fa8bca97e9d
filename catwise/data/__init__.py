"""Load data sets as arrays, split in four (appendix A.1)."""
