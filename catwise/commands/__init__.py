"""Run the commands: diagnose, doctor and measure."""
