"""CLPIPS: image similarity that learns what you mean by similar.

`clpips.models` is the metric as a library, `clpips.service` the HTTP service around it.
"""

__version__ = "0.2.0"
