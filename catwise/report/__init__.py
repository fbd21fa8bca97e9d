"""Write the page that shows all results."""
