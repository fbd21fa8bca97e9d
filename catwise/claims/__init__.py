"""State what the paper says, and judge whether it holds here."""
