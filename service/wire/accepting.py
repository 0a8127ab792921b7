"""What a request's `Accept` header prefers of the media types that an answer may have."""

from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

from litestar import Request


class _Range(NamedTuple):
    """One entry of the header."""

    main: str
    sub: str
    quality: float  # 0 refuses

    @property
    def specificity(self) -> int:
        return (self.main != "*") + (self.sub != "*")

    def covers(self, media_type: str) -> bool:
        main, _, sub = media_type.partition("/")
        return self.main in {"*", main} and self.sub in {"*", sub}


def preferred(request: Request[Any, Any, Any], offered: Sequence[str], default: str) -> str:
    """The media type of those `offered` that the request prefers; `default` where it takes none of them.

    What the most specific entry for it refuses (`q=0`) is never chosen for another entry's sake, as RFC 9110 has it. Of
    entries that prefer equally the more specific one counts, then the first. A quality that is none counts as 1.
    """
    ranges = [_read(part) for part in request.headers.get("accept", "*/*").split(",")]
    ranges.sort(key=lambda one: (-one.quality, -one.specificity))
    taken = [media_type for media_type in offered if _quality(media_type, ranges) > 0]
    chosen = (media_type for one in ranges if one.quality > 0 for media_type in taken if one.covers(media_type))
    return next(chosen, default)


def _read(part: str) -> _Range:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    main, _, sub = name.partition("/")
    quality = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            quality = _number(value.strip())
    return _Range(main, sub, quality)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 1.0
    return min(max(number, 0.0), 1.0) if isfinite(number) else 1.0


def _quality(media_type: str, ranges: Sequence[_Range]) -> float:
    """Of a media type, as the most specific entry for it has it; 0 where there is none."""
    return max(((one.specificity, one.quality) for one in ranges if one.covers(media_type)), default=(0, 0.0))[1]
