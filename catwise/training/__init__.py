"""Models and how they are trained (appendix A.2, Table 2)."""
