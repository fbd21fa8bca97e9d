"""Lay nested metrics and parameters out flat."""

from collections.abc import Mapping
from typing import Any

__all__ = ["flat"]


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested sections, by dotted name.

    >>> flat({"train": {"l2": 0.1, "deep": {"x": [1]}}, "threads": 1})
    {'train.l2': 0.1, 'train.deep.x': [1], 'threads': 1}
    """
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = value
    return leaves
