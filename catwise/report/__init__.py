"""The page over all data sets, reports/index.html."""
