"""Measure seconds and memory, each beside a control."""
