"""Name the processor and the versions that results depend on, and ask git; no host, no user."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

__all__ = ["git", "processor", "versions"]

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


def git(*arguments: str, folder: Path | None = None) -> str | None:
    """Return what git prints in ``folder``; None where it fails, is missing or prints no text."""
    command = ["git", *arguments]
    try:
        process = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=True
        )
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return None
    return process.stdout.strip()
