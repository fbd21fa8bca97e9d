"""Tell room from a performance ceiling (sections 3.2 and 5.2): the paper's rule, and sound ones."""
