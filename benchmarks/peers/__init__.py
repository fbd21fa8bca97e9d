"""Compare with other libraries on the same work: seconds, memory, and what influence is for."""
