"""The processor and the versions that results depend on; no name of a host or a user."""

import platform
from importlib.metadata import version
from pathlib import Path

__all__ = ["processor", "versions"]

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "joblib")


def versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {
        package: version(package) for package in PACKAGES
    }


def processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
