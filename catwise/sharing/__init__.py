"""Share a diagnosis as a table, files or a page, and ask it further questions."""
