"""Installation hints: the commands that put right what an error found missing.

The name `clpips` is on no package index, so that pip takes a checkout or a wheel, with the extra behind its name.
"""

import sys
from typing import Final

from clpips import __version__

PYTHON: Final = (
    f"Python {sys.version_info.major}.{sys.version_info.minor}"  # this one, for packages without a wheel for it
)


def install_hint(extra: str) -> str:
    """How to install what an extra of this distribution names (`cpu`, `gpu`, `torch`, `decode`, `report`, …).

    >>> print(install_hint("cpu"))
    pip install '.[cpu]' in a checkout of clpips, or pip install 'clpips-...-py3-none-any.whl[cpu]'
    """
    wheel = f"clpips-{__version__}-py3-none-any.whl"
    return f"pip install '.[{extra}]' in a checkout of clpips, or pip install '{wheel}[{extra}]'"
