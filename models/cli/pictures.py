"""Image files of a command: read all at once, so that one error names every file with a fault."""

from collections.abc import Sequence
from pathlib import Path

from clpips.models.images.decoding import load_image
from clpips.models.images.errors import ImageError
from clpips.models.images.pixels import MAX_PIXELS, Pixels


def read_images(paths: Sequence[Path], resolution: int | None) -> dict[Path, Pixels]:
    """The pixels of each file at the scoring resolution. Raises `ImageError` that names every file with a fault."""
    pixels, problems = {}, []
    for path in paths:
        try:
            pixels[path] = load_image(path.read_bytes(), resolution, MAX_PIXELS)
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
        except ImageError as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise ImageError("; ".join(problems))
    return pixels


def require_equal_sizes(target: Path, candidates: Sequence[Path], pixels: dict[Path, Pixels]) -> None:
    """Raise `ImageError` that names each candidate whose size is not the target's."""

    def size(path: Path) -> str:
        height, width, _ = pixels[path].shape
        return f"{width}×{height}"

    others = [f"{path} is {size(path)}" for path in candidates if pixels[path].shape != pixels[target].shape]
    if others:
        raise ImageError(
            f"at native size both images of a pair must be equally large: {target} is {size(target)}, "
            f"{', '.join(others)}; crop them, or leave --resolution at a number of pixels"
        )


def named_resolution(resolution: int | None) -> int | str:
    """A resolution as commands name it."""
    return "native" if resolution is None else resolution
