"""Measure what the pipeline does not report: speed, how often verdicts are right, and faults."""
