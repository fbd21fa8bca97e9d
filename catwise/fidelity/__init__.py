"""Score how well influence predicts training again on other samples."""
