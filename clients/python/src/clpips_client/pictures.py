"""What people hold → the bytes that are sent, and the name (`sha256:…`) by which the service knows them afterwards."""

import hashlib
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Number
from pathlib import Path
from typing import Any, Final

import numpy as np

from clpips_client.errors import BadImagesError, Fault
from clpips_client.pixels import Layout, Pixels, Unit, UnusableError, images_in, is_array, is_tensor
from clpips_client.resizing import resized

NAME: Final = re.compile(r"sha256:[0-9a-f]{64}")
ADDRESS: Final = re.compile(r"(?i:[a-z][a-z0-9+.-]+://|data:[a-z]+/)")  # at least two letters: C:\ is none
# What is raised for images that cannot be used: by us, and by Pillow and files for what is closed, cut off or missing.
UNUSABLE: Final = (ValueError, OSError, SyntaxError)
UNORDERED: Final = (set, frozenset, Mapping)
PLAIN_MODES: Final = ("RGB", "L")  # of Pillow: pixels say all
FILE_MODES: Final = {"1": "L", "YCbCr": "RGB", "HSV": "RGB", "LAB": "RGB", "PA": "RGBA", "RGBa": "RGBA", "La": "LA"}


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as it is sent: the bytes of a file or of a `.npy` array, or None where only its name is known."""

    content: bytes | None = field(repr=False)
    named: str = ""  # where there is no content
    label: str = ""  # for people: the name of the file

    @cached_property
    def name(self) -> str:
        """`sha256:` and the hash of the bytes."""
        return self.named if self.content is None else f"sha256:{hashlib.sha256(self.content).hexdigest()}"


def one_picture(thing: Any, pointer: str, resolution: int | None) -> Picture:
    """What somebody holds of one image. Raises `BadImagesError`."""
    found = pictures_of([thing], resolution, pointer)
    if len(found) != 1:
        raise BadImagesError("an image is expected", (Fault(pointer, f"this is a batch of {len(found)} images"),))
    return found[0]


def pictures_of(things: Any, resolution: int | None, pointer: str = "/candidates/{}") -> list[Picture]:
    """The images of a list, a batch, or a list of batches, in their order. Raises `BadImagesError` that names all bad.

    An image is a path, the bytes of a file, an open file, an image of Pillow's, an array or a tensor
    (`pixels.images_in`), a `Unit`, a `Picture`, or a name that a reply gave (`sha256:…`). What is in memory is resized
    to `resolution` where that gives the pixels that the service would have made.
    """
    pictures: list[Picture] = []
    faults: list[Fault] = []
    for thing in _flat(things):
        try:
            pictures.extend(_pictures_in(thing, resolution))
        except UNUSABLE as error:  # noqa: PERF203 - all that are bad are named
            faults.append(Fault(pointer.format(len(pictures) + len(faults)), str(error)))
    if faults:
        bad = f"{len(faults)} image{'s' if len(faults) > 1 else ''} cannot be used"
        raise BadImagesError(bad, tuple(faults))
    return pictures


def is_pillow(thing: object) -> bool:
    """Whether it is an image of Pillow's. Pillow is not imported for this: who holds an image has done so."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(thing, pillow.Image)


def _flat(things: Any) -> Iterator[Any]:
    """The single images and batches of whatever holds images."""
    single = isinstance(things, (str, os.PathLike, bytes, bytearray, memoryview, Unit, Picture, *UNORDERED))
    single = single or is_array(things) or is_tensor(things) or is_pillow(things) or _is_open_file(things)
    if single or _holds_numbers(things) or not isinstance(things, Iterable):
        yield things
        return
    for thing in things:
        yield from _flat(thing)


def _is_open_file(thing: object) -> bool:
    return callable(getattr(thing, "read", None))


def _holds_numbers(thing: object) -> bool:
    """Whether it is lists of lists of numbers, as `x.tolist()` makes them."""
    depth = 0
    while isinstance(thing, (list, tuple)) and thing:
        thing, depth = thing[0], depth + 1
    return depth >= 2 and isinstance(thing, Number)


def _pictures_in(thing: Any, resolution: int | None) -> Iterator[Picture]:
    """The images of one thing that is no list. Raises `UnusableError`, or `OSError` for a file that cannot be read."""
    if isinstance(thing, Picture):
        yield thing
    elif isinstance(thing, str) and NAME.fullmatch(thing):
        yield Picture(None, thing)
    elif isinstance(thing, (str, os.PathLike)):
        if isinstance(thing, str) and ADDRESS.match(thing):
            raise UnusableError(f"{thing[:60]!r} is an address, and none is fetched: give the bytes of its file")
        path = Path(thing)
        yield Picture(path.read_bytes(), label=path.name)
    elif isinstance(thing, (bytes, bytearray, memoryview)):
        yield Picture(bytes(thing))
    elif isinstance(thing, Unit):
        for part in _flat(thing.images):
            if not (is_array(part) or is_tensor(part)):
                raise UnusableError(f"Unit is for arrays and tensors of floats, and this is {type(part).__name__}")
            yield from _pictures_of_array(part, resolution, unit=True, layout=thing.layout)
    elif is_pillow(thing):
        yield _picture_of_pillow(thing, resolution)
    elif is_array(thing) or is_tensor(thing):
        yield from _pictures_of_array(thing, resolution)
    elif _is_open_file(thing):
        yield Picture(_read(thing), label=Path(str(getattr(thing, "name", ""))).name)
    elif _holds_numbers(thing):
        raise UnusableError("these are numbers; make them an array: numpy.array(x, 'uint8')")
    elif isinstance(thing, UNORDERED):
        raise UnusableError(f"this is {type(thing).__name__}, whose images have no places; give a list")
    else:
        raise UnusableError(
            f"this is {type(thing).__name__}; give a path, the bytes of a file, an image of Pillow's, an array or a "
            "tensor"
        )


def _read(file: Any) -> bytes:
    """What is left to be read of an open file. Raises `UnusableError`."""
    content = file.read()
    if not isinstance(content, bytes):
        raise UnusableError(f"reading this file gives {type(content).__name__}: open it as bytes, with 'rb'")
    if not content:
        raise UnusableError("nothing is left to read of this file: go to its beginning with file.seek(0)")
    return content


def _pictures_of_array(
    array: Any, resolution: int | None, *, unit: bool = False, layout: Layout | None = None
) -> Iterator[Picture]:
    for pixels in images_in(array, unit=unit, layout=layout):
        if pixels.shape[2] == 3:
            yield Picture(npy(resized(pixels, resolution)))
            continue
        try:
            from PIL import Image
        except ImportError:
            raise UnusableError("to send alpha, Pillow is needed: pip install pillow, or send x[..., :3]") from None
        yield Picture(_file(Image.fromarray(pixels), "PNG"))


def _picture_of_pillow(image: Any, resolution: int | None) -> Picture:
    """An image of Pillow's counts for what its file would: orientation, profile and alpha are taken into account."""
    from PIL import ImageOps

    label = Path(str(getattr(image, "filename", ""))).name
    if image.mode in {"F", "I"}:
        raise UnusableError(f"the mode {image.mode!r} has no white; make it 8-bit, such as image.convert('L')")
    upright = ImageOps.exif_transpose(image)
    if upright.mode in PLAIN_MODES and "icc_profile" not in upright.info and "transparency" not in upright.info:
        return Picture(npy(resized(np.asarray(upright.convert("RGB")), resolution)), label=label)
    if upright.mode == "CMYK":
        return Picture(_file(upright, "TIFF", icc_profile=upright.info.get("icc_profile")), label=label)
    if upright.mode in FILE_MODES:
        upright = upright.convert(FILE_MODES[upright.mode])
    return Picture(_file(upright, "PNG", icc_profile=upright.info.get("icc_profile"), compress_level=1), label=label)


def npy(pixels: Pixels) -> bytes:
    """The bytes of a `.npy` file of these pixels, `(H, W, 3)`."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(pixels), allow_pickle=False)
    return stream.getvalue()


def _file(image: Any, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
