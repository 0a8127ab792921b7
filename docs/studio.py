"""Draw the studio for the documentation: light, dark and on a phone, from landscapes that this file paints.

    CLPIPS_TEST_CHROMIUM=/usr/bin/chromium python -m docs.studio

Starts a service of its own, does in Chromium what a person would, and writes `docs/studio-*.webp`.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from clpips.models.engines.opening import open_engine
from tests.support.browser import browsing, drop, page_of, wait_for_order
from tests.support.pictures import encode
from tests.support.services import listening

HERE = Path(__file__).parent
SIDE = 640
WIDTH = 1400  # of a screenshot in the documentation, pixels at most

Colour = tuple[int, int, int]
DUSK: list[Colour] = [(38, 44, 84), (226, 122, 92), (252, 214, 158), (62, 58, 98), (36, 38, 68), (18, 22, 44)]
DAWN: list[Colour] = [(112, 158, 196), (244, 196, 172), (255, 236, 208), (120, 140, 158), (78, 104, 118), (44, 66, 72)]
NOON: list[Colour] = [(74, 142, 206), (180, 214, 232), (255, 252, 240), (118, 158, 112), (72, 122, 78), (40, 82, 54)]
NIGHT: list[Colour] = [(8, 12, 34), (28, 44, 84), (230, 232, 244), (22, 32, 62), (14, 22, 46), (6, 10, 24)]


def landscape(colours: list[Colour], seed: int, sun: tuple[float, float] = (0.66, 0.44)) -> NDArray[np.uint8]:
    """Hills under a low sun, uint8 RGB `(SIDE, SIDE, 3)`; two colours of the sky, one of the sun, three of hills."""
    high, low, light, *ranges = (np.array(colour, float) for colour in colours)
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    t = np.clip(y / 0.68, 0, 1)[..., None] ** 1.4
    canvas = high * (1 - t) + low * t
    away = np.hypot(x - sun[0], y - sun[1])
    canvas += (light - canvas) * (0.85 * np.exp(-((away / 0.2) ** 2)))[..., None]
    canvas = np.where((away < 0.062)[..., None], light, canvas)
    for depth, colour in enumerate(ranges):
        ridge = 0.56 + 0.14 * depth
        for wave in range(1, 7):
            ridge = ridge + rng.normal(0, 0.05 / wave) * np.sin(wave * 3.1 * x[0] + rng.uniform(0, 6.3))
        below = np.clip((y - ridge) * SIDE / 1.5 + 0.5, 0, 1)[..., None]
        haze = np.clip((y - ridge) * 2.2, 0, 1)[..., None]
        canvas = canvas * (1 - below) + below * (colour * (0.86 + 0.14 * (1 - haze)) + 18 * (1 - haze))
    canvas += rng.normal(0, 3.5, (SIDE, SIDE, 1))
    return canvas.clip(0, 255).astype(np.uint8)


def mixed(a: list[Colour], b: list[Colour], share: float) -> list[Colour]:
    """Colours between two lists of colours."""
    between = np.round(np.array(a) * (1 - share) + np.array(b) * share).astype(int)
    return [(int(red), int(green), int(blue)) for red, green, blue in between]


def pictures() -> list[tuple[str, bytes]]:
    """A target and what a generator might have made of its prompt."""
    soft = Image.fromarray(landscape(DUSK, 3)).filter(ImageFilter.GaussianBlur(5))
    made: list[tuple[str, NDArray[np.uint8] | Image.Image]] = [
        ("target.png", landscape(DUSK, 3)),
        ("other hills.png", landscape(DUSK, 11)),
        ("paler.png", landscape(mixed(DUSK, DAWN, 0.55), 3)),
        ("soft.png", soft),
        ("low sun.png", landscape(DUSK, 3, sun=(0.3, 0.5))),
        ("dawn.png", landscape(DAWN, 5)),
        ("night.png", landscape(NIGHT, 3)),
        ("noon.png", landscape(NOON, 3)),
        ("violet.png", landscape(mixed(DUSK, NIGHT, 0.4), 21)),
    ]
    return [(name, encode(picture)) for name, picture in made]


def move_first(page: Any, name: str) -> None:
    """Take a candidate to the first place, by keyboard."""
    page.locator(f'#order .card:has(.name:text-is("{name}")) .picture').focus()
    for key in (" ", "Home", " "):
        page.keyboard.press(key)


def shoot(page: Any, name: str) -> None:
    """Write what the page shows, once it has come to rest."""
    page.mouse.move(2, 2)
    page.wait_for_timeout(900)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    if image.width > WIDTH:
        image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    image.save(HERE / f"studio-{name}.webp", quality=86, method=6)


def lesson(page: Any) -> None:
    """Order by colour, as somebody might, and teach it."""
    drop(page, pictures())
    wait_for_order(page, 8)
    for name in ("violet.png", "low sun.png", "other hills.png"):
        move_first(page, name)


def main() -> None:
    """Draw all of them."""
    engine = open_engine("onnx", "cpu")
    desk: dict[str, Any] = {"viewport": {"width": 1400, "height": 880}, "device_scale_factor": 1}
    phone: dict[str, Any] = {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "has_touch": True,
        "is_mobile": True,
    }
    with browsing() as browser, listening(engine) as url:
        with page_of(browser, url, color_scheme="light", **desk) as page:
            shoot(page, "welcome")
            lesson(page)
            page.fill("#teach-name", "ada")
            page.click("#teach-button")
            page.locator("#lesson h2").wait_for(timeout=60_000)
            page.evaluate("() => scrollTo(0, 0)")
            shoot(page, "light")
        with page_of(browser, url, color_scheme="dark", **desk) as page:
            lesson(page)
            page.evaluate("() => scrollTo(0, 0)")
            shoot(page, "dark")
            page.locator('#order .card:has(.name:text-is("paler.png")) .picture').click()
            page.locator("#viewer").get_by_text("Heat map", exact=True).click()
            page.locator("#viewer .shares li").first.wait_for()
            shoot(page, "heat")
        with page_of(browser, url, color_scheme="light", **phone) as page:
            lesson(page)
            page.evaluate("() => scrollTo(0, 0)")
            shoot(page, "phone")
    engine.close()


if __name__ == "__main__":
    main()
