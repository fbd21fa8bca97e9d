"""Run the commands of the console script ``catwise``: diagnose, doctor and measure."""
