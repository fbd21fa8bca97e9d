"""Seconds and memory, beside a control."""
