"""Define models, train them and measure them (appendix A.2, Table 2)."""
