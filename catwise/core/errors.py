"""Define the one error that a user can mend: bad input, which ends a stage with exit code 2."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["InputError", "in_one_line", "optional_packages"]


class InputError(ValueError):
    """Say in one line where the input is wrong, what was expected, what was got and how to mend it.

    The line reads "WHERE: expected ...; got ...; mend": WHERE is an argument, a key or a file.
    """


def in_one_line(error: Exception) -> str:
    """Return the first 200 letters of what an error says, or its type's name if it says nothing.

    >>> in_one_line(ValueError("no such  \\n row")), in_one_line(EOFError())
    ('no such row', 'EOFError')
    """
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def optional_packages(where: str, extra: str = "report") -> Iterator[None]:
    """Turn a missing package, without which the rest of the library works, into one InputError.

    ``extra`` is the part of the installation that has it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name in ("", "catwise"):
            raise
        raise InputError(
            f"{where}: expected the package {name}; got none; pip install '.[{extra}]' in the"
            " folder of catwise"
        ) from None
