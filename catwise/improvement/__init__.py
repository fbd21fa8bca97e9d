"""Train anew with better weights until nothing is left to gain, and compare with baselines."""
