"""Examples of bodies that work when they are pasted: three tiny images, of which two are reddish."""

import base64
import io
from typing import Final

import numpy as np
from PIL import Image

from clpips.models.metric.backbone import DEFAULT_RESOLUTION


def _tiny_png(colour: tuple[int, int, int]) -> str:
    """A PNG of 8×8 pixels of one colour with a light stripe, as a `data:` URL."""
    pixels = np.full((8, 8, 3), colour, np.uint8)
    pixels[3:5] = 240
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


RED, ORANGE, BLUE = (_tiny_png(colour) for colour in ((200, 30, 30), (230, 120, 30), (30, 60, 200)))

RANK: Final = {
    "Three tiny images": {
        "target": RED,
        "candidates": [BLUE, ORANGE],
        "profile": "lpips",
        "resolution": DEFAULT_RESOLUTION,
    }
}
_OPTIONS: Final = {"profile": "lpips", "resolution": DEFAULT_RESOLUTION, "layers": True}
DISTANCE: Final = {
    "Three tiny images": {
        "pairs": [{"target": RED, "candidate": ORANGE}, {"target": RED, "candidate": BLUE}],
        **_OPTIONS,
    }
}
DISTANCE_FORM: Final = {
    "Three tiny images": {"target": [RED, RED], "candidate": [ORANGE, BLUE], **_OPTIONS},
}
HEATMAP: Final = {
    "Two tiny images": {
        "target": RED,
        "candidate": ORANGE,
        "profile": "lpips",
        "resolution": DEFAULT_RESOLUTION,
        "format": "png",
        "style": "overlay",
        "upsample": "bilinear",
    }
}
MATRIX: Final = {
    "Three tiny images": {"images": [RED, ORANGE, BLUE], "profile": "lpips", "resolution": DEFAULT_RESOLUTION}
}
RANKING: Final = {
    "Images and their order": {"target": RED, "candidates": [BLUE, ORANGE], "order": [1, 0], "rater": "ada"},
    "A comparison, re-ordered": {"comparison": "the id from /rank", "order": [1, 0]},
    "The one that stands out": {"target": RED, "candidates": [BLUE, ORANGE], "best": 1},
    "The first ones": {"target": RED, "candidates": [BLUE, ORANGE], "top": [1]},
}
RANKING_FORM: Final = {
    "Images and their order": {"target": RED, "candidates": [BLUE, ORANGE], "order": "1,0", "rater": "ada"},
    "A comparison, re-ordered": {"comparison": "the id from /rank", "order": "1,0"},
    "The one that stands out": {"target": RED, "candidates": [BLUE, ORANGE], "best": 1},
    "The first ones": {"target": RED, "candidates": [BLUE, ORANGE], "top": "1"},
}
PROFILE: Final = {"A profile that begins as LPIPS": {"name": "ada", "parent": "lpips"}}
ROLLBACK: Final = {"Back to the first version": {"version": 1}}
SESSION: Final = {
    "A tiny target": {
        "target": RED,
        "profile": "lpips",
        "title": "Red, with a stripe",
        "resolution": DEFAULT_RESOLUTION,
    }
}
CANDIDATES: Final = {
    "Two tiny images": {"candidates": [BLUE, ORANGE], "prompts": ["blue, with a stripe", None], "steps": [1, 2]}
}
CANDIDATES_FORM: Final = {
    "Two tiny images": {
        "candidates": [BLUE, ORANGE],
        "prompts": '["blue, with a stripe", null]',
        "steps": "[1, 2]",
    }
}
SESSION_ORDER: Final = {
    "An order, with a tie": {"order": [3, [0, 2], 1]},
    "The one that stands out": {"best": 3},
    "The first ones": {"top": [3, 0]},
}
