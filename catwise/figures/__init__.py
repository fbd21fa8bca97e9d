"""Draw the figures, with the words that go with them."""
