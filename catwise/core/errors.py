"""The one error that a user can mend: bad input. A stage prints it as one line and exits with code 2."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Says what was expected, what came, and which key or file to change, in one line."""
