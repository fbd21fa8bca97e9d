"""Measure how often the verdict is right, and whether predicted gains come true."""
