"""Define the one error that a user can mend: bad input, which ends a stage with exit code 2."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Say in one line where the input is wrong, what was expected, what was got and how to mend it.

    The line reads "WHERE: expected ...; got ...; mend": WHERE is an argument, a key or a file.
    """
