"""Is the classifier at its performance ceiling (sections 3.2 and 5.2)? The paper's rule, and sound ones."""
