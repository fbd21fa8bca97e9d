"""Find sample weights that improve classes (section 3.4, Algorithm 1): PARETO-LP-GA and rivals."""
