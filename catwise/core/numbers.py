"""Check the numbers that a user gives."""

from math import inf
from numbers import Integral, Real
from typing import Any

from catwise.core.errors import InputError

__all__ = ["require_number"]


def require_number(name: str, value: Any, least: float, whole: bool = False) -> None:
    """Raise InputError, with ``name``, unless the value is a finite number of ``least`` or more.

    >>> require_number("batch_size", 2.5, 1, whole=True)
    Traceback (most recent call last):
    catwise.core.errors.InputError: batch_size: expected a whole number, 1 or more; got 2.5
    """
    right = isinstance(value, Integral if whole else Real)
    if not (right and least <= value < inf):
        word = "whole" if whole else "finite"
        raise InputError(f"{name}: expected a {word} number, {least} or more; got {value!r}")
