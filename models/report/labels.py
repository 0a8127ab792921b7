"""Names as labels of a plot: as they are, whatever is in them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def plain_label(name: str) -> str:
    r"""A name that matplotlib draws as it is: a `$` begins no formula, and `?` stands for bytes that are no text.

    >>> print(plain_label("$x$"))
    \$x\$
    """
    return name.encode(errors="replace").decode().replace("$", r"\$")


@contextmanager
def any_script() -> Iterator[None]:
    """While plots are written: a box stands for a sign that the font has not, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        yield
