"""Flattening: pixels of any mode of Pillow's → 8-bit sRGB, alpha on white.

Colours are converted before alpha is composited, because a profile tells what the file's own colours are.
"""

import numpy as np
from PIL import Image, ImageChops

from clpips.models.images.errors import PixelTypeError
from clpips.models.images.profiles import changes, to_srgb

_COLOURS = {"L": "L", "LA": "L", "RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK"}  # modes: those of their colours alone
_PREMULTIPLIED = ("La", "RGBa")
_CONVERTED = {"1": "L", "La": "LA", "RGBa": "RGBA", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB", "PA": "RGBA"}


def flatten(image: Image.Image, profile: bytes | None = None) -> Image.Image:
    """The image as 8-bit sRGB, mode RGB, with alpha on white; of 16-bit samples the high byte is kept.

    `profile` is the ICC profile of the image's colours. Raises `PixelTypeError` for modes that need guessing.
    """
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.has_transparency_data and image.mode in {"L", "RGB", "1"}:
        image = image.convert("LA" if image.mode in {"L", "1"} else "RGBA")
    elif image.mode in _PREMULTIPLIED and (profile is None or not changes(profile, _COLOURS[_CONVERTED[image.mode]])):
        return _premultiplied_on_white(image)
    elif image.mode in _CONVERTED:
        image = image.convert(_CONVERTED[image.mode])
    if image.mode not in _COLOURS:
        raise PixelTypeError(
            f"the image holds {image.mode!r} pixels (floats, 32-bit integers or a colour space that is not converted "
            "here); save it as 8-bit or 16-bit RGB or grey"
        )
    colours = _COLOURS[image.mode]
    if image.mode == colours:
        shown = to_srgb(image, profile)
        return shown if shown.mode == "RGB" else shown.convert("RGB")
    alpha = image.getchannel("A")
    shown = to_srgb(image.convert(colours), profile)
    white = Image.new("RGB", image.size, "white")
    white.paste(shown if shown.mode == "RGB" else shown.convert("RGB"), mask=alpha)
    return white


def _premultiplied_on_white(image: Image.Image) -> Image.Image:
    """Colours that have been multiplied by their alpha, mode La or RGBa: white shows as far as they do not cover it."""
    *colours, alpha = _channels(image)
    white = ImageChops.invert(alpha)
    covered = [ImageChops.add(colour, white) for colour in colours]
    return Image.merge("RGB", covered * 3 if len(covered) == 1 else covered)


def _channels(image: Image.Image) -> tuple[Image.Image, ...]:
    """Each channel as it is stored: a mode with alpha that is not premultiplied has the same bytes."""
    mode = _CONVERTED[image.mode]
    return Image.frombytes(mode, image.size, image.tobytes()).split()
