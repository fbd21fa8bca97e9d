"""Write the page that shows all results: tables and sentences from results, then HTML."""
