"""The console script ``catwise``."""
