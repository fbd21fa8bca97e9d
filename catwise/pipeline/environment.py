"""Name the processor and the versions that results depend on; no host and no user."""

import platform
from importlib.metadata import version
from pathlib import Path

__all__ = ["processor", "versions"]

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "joblib")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide results."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def processor() -> str:
    """Return the name of the processor, as Linux tells it, or what Python knows of it."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
