"""Share a diagnosis: as a table, as files, as one page; and ask it further questions."""
