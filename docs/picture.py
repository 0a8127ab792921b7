"""Draw the README's picture from a real run: a simulated person who looks at colours teaches the metric.

    .venv/bin/python docs/picture.py      # writes docs/picture-light.svg and docs/picture-dark.svg

Little landscapes are drawn twice from the same shapes: as pixels for `clpips`, and as SVG for the reader. A candidate
differs from its target in its palette and, mostly, in its layout; the person orders candidates by palette alone.
`clpips fit` learns from rankings of some landscapes; `clpips rank` orders another's candidates, before and after.
"""

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Final, NamedTuple

from PIL import Image, ImageDraw

SEED: Final = 0
LESSONS: Final = 10  # rankings
CANDIDATES: Final = 6
SAME_LAYOUT: Final = 1 / 3  # of the candidates
SIDE: Final = 256  # pixels of an image, as it is scored

Colour = tuple[int, int, int]

# sky, sun, far hills, near hills, wall, roof, trees
PALETTES: Final[dict[str, Sequence[Colour]]] = {
    "noon": (
        (126, 190, 240), (255, 236, 150), (120, 170, 120), (90, 150, 70), (245, 240, 225), (200, 80, 60), (50, 110, 50)
    ),
    "dusk": (
        (245, 150, 100), (255, 220, 120), (150, 90, 120), (110, 60, 90), (230, 190, 160), (120, 50, 60), (80, 45, 70)
    ),
    "night": (
        (20, 28, 70), (235, 235, 220), (30, 45, 90), (18, 30, 60), (70, 80, 120), (40, 40, 80), (12, 22, 45)
    ),
    "autumn": (
        (205, 215, 220), (250, 240, 210), (190, 130, 70), (170, 95, 40), (225, 215, 200), (110, 70, 50), (200, 110, 30)
    ),
    "winter": (
        (215, 230, 245), (255, 250, 230), (235, 242, 250), (250, 252, 255), (170, 120, 90), (240, 245, 250),
        (70, 100, 90),
    ),
}  # fmt: skip


class Shape(NamedTuple):
    """A polygon, or with a radius a circle around its one point. The picture's sides are 1 long."""

    points: Sequence[tuple[float, float]]
    colour: Colour
    radius: float = 0.0


class Scene(NamedTuple):
    """A target, its candidates, and the person's order of them: indices, the most similar first."""

    target: Sequence[Shape]
    candidates: Sequence[Sequence[Shape]]
    order: Sequence[int]


def scene(rng: random.Random) -> Scene:
    """A target of one palette, and candidates whose palettes lie on the way to another."""
    own, other = rng.sample(sorted(PALETTES), 2)
    shares = [(number + 0.5) / CANDIDATES for number in range(CANDIDATES)]
    rng.shuffle(shares)
    layout = rng.random()
    candidates = [
        landscape(
            blend(PALETTES[own], PALETTES[other], share),
            random.Random(layout if rng.random() < SAME_LAYOUT else rng.random()),
        )
        for share in shares
    ]
    order = sorted(range(CANDIDATES), key=shares.__getitem__)
    return Scene(landscape(PALETTES[own], random.Random(layout)), candidates, order)


def landscape(palette: Sequence[Colour], layout: random.Random) -> list[Shape]:
    """Sky, sun, two rows of hills, a house and three trees."""
    sky, sun, far, near, wall, roof, tree = palette
    between = layout.uniform
    shapes = [
        Shape([(0, 0), (1, 0), (1, 1), (0, 1)], sky),
        Shape([(between(0.15, 0.85), between(0.12, 0.35))], sun, between(0.06, 0.11)),
    ]
    for colour, low, high in ((far, 0.4, 0.6), (near, 0.62, 0.78)):
        shapes.append(Shape([*((step / 6, between(low, high)) for step in range(7)), (1, 1), (0, 1)], colour))
    x, y, width = between(0.15, 0.6), between(0.6, 0.72), between(0.2, 0.28)
    shapes += [
        Shape([(x, y), (x + width, y), (x + width, y + 0.18), (x, y + 0.18)], wall),
        Shape([(x - 0.03, y), (x + width / 2, y - 0.13), (x + width + 0.03, y)], roof),
    ]
    for _ in range(3):
        x, y, height = between(0.05, 0.95), between(0.8, 0.95), between(0.15, 0.25)
        shapes.append(Shape([(x - height / 3, y), (x, y - height), (x + height / 3, y)], tree))
    return shapes


def blend(one: Sequence[Colour], other: Sequence[Colour], share: float) -> list[Colour]:
    """A palette on the way from one to another."""

    def between(first: int, second: int) -> int:
        return round(first + (second - first) * share)

    return [(between(a[0], b[0]), between(a[1], b[1]), between(a[2], b[2])) for a, b in zip(one, other, strict=True)]


def pixels(shapes: Sequence[Shape]) -> Image.Image:
    """The picture as `clpips` sees it; drawn at twice its size, for soft edges."""
    size = 2 * SIDE
    large = Image.new("RGB", (size, size))
    draw = ImageDraw.Draw(large)
    for points, colour, radius in shapes:
        if radius:
            draw.circle((size * points[0][0], size * points[0][1]), size * radius, fill=colour)
        else:
            draw.polygon([(size * x, size * y) for x, y in points], fill=colour)
    return large.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def run(scenes: Sequence[Scene]) -> tuple[list[int], list[int]]:
    """Teach all scenes but the last, and order the candidates of that one: by LPIPS, and by what was learned."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = []
        for number, one in enumerate(scenes):
            pixels(one.target).save(folder / f"{number}.png")
            files = [f"{number}-{index}.png" for index in range(CANDIDATES)]
            for file, shapes in zip(files, one.candidates, strict=True):
                pixels(shapes).save(folder / file)
            ranks = [one.order.index(index) + 1 for index in range(CANDIDATES)]
            lines.append(json.dumps({"target": f"{number}.png", "candidates": files, "ranks": ranks}) + "\n")
        (folder / "rankings.jsonl").write_text("".join(lines[:-1]))
        clpips(folder, "fit", "rankings.jsonl", "--out", "fitted.safetensors", "--recipe", "personal")
        by_lpips, by_fitted = (
            [files.index(row["path"]) for row in clpips(
                folder, "rank", f"{len(scenes) - 1}.png", *files, "--weights", weights
            )["ranking"]]
            for weights in ("lpips", "fitted.safetensors")
        )  # fmt: skip
    return by_lpips, by_fitted


def clpips(folder: Path, *arguments: str) -> Any:
    """What a command of this environment's `clpips` answers."""
    command = [str(Path(sys.executable).parent / "clpips"), *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def svg(shown: Scene, rows: Sequence[tuple[str, Sequence[int]]], ink: str, faint: str) -> str:
    """The target at the left; at the right a row for each order, with the person's ranks on the candidates."""
    pairs = CANDIDATES * (CANDIDATES - 1) // 2
    side, gap, left = 76, 8, 136
    end = left + CANDIDATES * (side + gap) - gap
    parts = [thumbnail(shown.target, 8, 76, 104), f'<text x="8" y="200" fill="{faint}">the target</text>']
    for number, (title, order) in enumerate(rows):
        top = 30 + 128 * number
        right = sum(shown.order.index(a) < shown.order.index(b) for a, b in combinations(order, 2))
        parts += [
            f'<text x="{left}" y="{top - 10}" fill="{ink}" font-weight="600">{title}</text>',
            f'<text x="{end}" y="{top - 10}" fill="{faint}" text-anchor="end">{right} of {pairs} pairs right</text>',
        ]
        for place, index in enumerate(order):
            x, rank = left + place * (side + gap), shown.order.index(index)
            colour = "#1a7f37" if rank == place else "#bc4c00"
            parts += [
                thumbnail(shown.candidates[index], x, top, side),
                f'<circle cx="{x + 14}" cy="{top + 14}" r="11" fill="{colour}" stroke="#fff" stroke-width="1.5"/>',
                f'<text x="{x + 14}" y="{top + 19}" fill="#fff" text-anchor="middle">{rank + 1}</text>',
            ]
    parts.append(
        f'<text x="{left}" y="258" fill="{faint}">1 to {CANDIDATES}: the order of a person who looks at colours</text>'
    )
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {end + 8} 270" font-size="15" '
        f'font-family="-apple-system, Segoe UI, Helvetica, Arial, sans-serif">\n{body}\n</svg>\n'
    )


def thumbnail(shapes: Sequence[Shape], x: int, y: int, side: int) -> str:
    """The picture as SVG."""
    drawn = []
    for points, colour, radius in shapes:
        fill = f'fill="#{bytes(colour).hex()}"'
        if radius:
            drawn.append(
                f'<circle cx="{100 * points[0][0]:.1f}" cy="{100 * points[0][1]:.1f}" r="{100 * radius:.1f}" {fill}/>'
            )
        else:
            corners = " ".join(f"{100 * x:.1f},{100 * y:.1f}" for x, y in points)
            drawn.append(f'<polygon points="{corners}" {fill}/>')
    return f'<svg x="{x}" y="{y}" width="{side}" height="{side}" viewBox="0 0 100 100">{"".join(drawn)}</svg>'


def main() -> None:
    """Run it and write the two files."""
    rng = random.Random(SEED)
    scenes = [scene(rng) for _ in range(LESSONS + 1)]
    by_lpips, by_fitted = run(scenes)
    rows = [("by LPIPS", by_lpips), (f"taught by {LESSONS} rankings of other pictures", by_fitted)]
    for name, ink, faint in (("light", "#1f2328", "#59636e"), ("dark", "#f0f6fc", "#9198a1")):
        path = Path(__file__).parent / f"picture-{name}.svg"
        path.write_text(svg(scenes[-1], rows, ink, faint))
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
