"""CLPIPS: image similarity that learns what you mean by similar.

`clpips.models` is the metric as a library, `clpips.service` the HTTP service around it.
"""

from pathlib import Path

__version__ = "0.2.0"

_HERE = Path(__file__).resolve().parent
if not (_HERE / "models").is_dir():  # unpacked from a source archive, which holds no links to the two folders
    __path__.append(str(_HERE.parent.parent))
