"""Image files of a command: read all at once, so that one error names every file with a fault."""

from collections.abc import Sequence
from pathlib import Path

from clpips.models.images.decoding import decode, load_image
from clpips.models.images.errors import ImageError
from clpips.models.images.mask_files import load_mask
from clpips.models.images.pixels import MAX_PIXELS, Pixels
from clpips.models.metric.masks import Mask, MaskError


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


def read_mask(path: Path | None, target: Path, max_pixels: int = MAX_PIXELS) -> Mask | None:
    """The mask in a file, if one is named, as large as the target's picture. Raises `ImageError` with its name."""
    if path is None:
        return None
    height, width, _ = decode(target.read_bytes(), max_pixels).shape
    try:
        return load_mask(path.read_bytes(), (height, width), max_pixels)
    except (ImageError, MaskError) as error:
        raise ImageError(f"{path}: {error}") from error
