"""Simulated people teach fresh profiles over HTTP alone: how soon is the metric theirs?

    python -m loadtest.teach --url http://127.0.0.1:8000 --people 20 --plot teach.png [--judge-by looks]
        [--parent lpips]

Each person looks at two of AlexNet's five layers, position by position, and there at a tenth of the channels; with
`--judge-by looks` or `content` at a tenth of the channels of all of AlexNet's families, or of the content network's
(`loadtest/minds.py` asks the same of photographs, without a service). These hidden weights are
uploaded as a profile of their own, whose `/rank` is what the person thinks; nothing else about them is ever told. A
fresh profile is then taught rankings of ten pictures, one after another, and asked in between how it would order other
sets: the share of pairs in them that it orders as the person does, beside plain LPIPS's.

The service must be open, or the key in `CLPIPS_KEY` must have all three scopes.
"""

import argparse
import io
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from clpips.models.metric.backbone import LAYERS
from clpips.models.metric.families import Z_LENGTH
from clpips.models.metric.weights import LayerWeights
from clpips.models.metric.weights_files import format_weights
from loadtest.minds import MINDS, weights_of

CANDIDATES: Final = 10
CHECKPOINTS: Final = (0, 1, 2, 5, 10, 20)
SIDE: Final = 128  # pixels


@dataclass(frozen=True)
class ImageSet:
    """A target and the candidates to be put in order, as PNG."""

    target: bytes
    candidates: Sequence[bytes]


@dataclass
class Course:
    """How one person's profile went: pair agreement on held-out sets after each checkpoint."""

    lpips: float
    agreement: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # from the ranking's last byte to the answer that uses it


def main() -> None:
    """Teach, print the table, and draw it."""
    options = _options()
    key = os.environ.get("CLPIPS_KEY")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=options.url, headers=headers, timeout=60) as client:
        _require_service(client)
        rng = np.random.default_rng(options.seed)
        lessons = [image_set(rng) for _ in range(max(CHECKPOINTS))]
        exams = [image_set(rng) for _ in range(options.exams)]
        backbone = _rank(client, exams[0], "lpips")["engine"]["backbone"]
        courses = [
            teach(
                client,
                hidden_weights(options.judge_by, rng, backbone),
                lessons,
                exams,
                options.noise,
                rng,
                options.parent,
            )
            for _ in range(options.people)
        ]
    report(courses)
    if options.json:
        rows = [{"lpips": course.lpips, "agreement": course.agreement} for course in courses]
        options.json.write_text(json.dumps({"checkpoints": CHECKPOINTS, "people": rows}))
    if options.plot:
        plot(courses, options.plot)


def teach(
    client: httpx.Client,
    hidden: LayerWeights,
    lessons: Sequence[ImageSet],
    exams: Sequence[ImageSet],
    noise: float,
    rng: np.random.Generator,
    parent: str,
) -> Course:
    """One person teaches a fresh profile that begins as `parent`, and is deleted in the end."""
    mind, profile = f"mind-{uuid4().hex[:12]}", f"person-{uuid4().hex[:12]}"
    _ok(client.put(f"/profiles/{mind}/weights", content=format_weights(hidden)))
    _ok(client.post("/profiles", json={"name": profile, "parent": parent}))
    try:
        asked = [_rank(client, exam, mind) for exam in exams]
        truths = [_by_index(reply, "distance") for reply in asked]
        guesses = [_by_index(reply, "base_distance") for reply in asked]
        course = Course(lpips=_agreement(truths, guesses))
        for lesson in range(max(CHECKPOINTS) + 1):
            if lesson in CHECKPOINTS:
                answers = [_by_index(_rank(client, exam, profile), "distance") for exam in exams]
                course.agreement.append(_agreement(truths, answers))
            if lesson < max(CHECKPOINTS):
                opinion = np.log(_by_index(_rank(client, lessons[lesson], mind), "distance"))
                opinion += noise * rng.gumbel(size=CANDIDATES)
                shown = _rank(client, lessons[lesson], profile)
                started = time.perf_counter()
                order = {"comparison": shown["comparison"], "order": np.argsort(opinion).tolist()}
                _ok(client.post(f"/profiles/{profile}/rankings", json=order))
                course.seconds.append(time.perf_counter() - started)
    finally:
        for name in (mind, profile):
            client.delete(f"/profiles/{name}")
    return course


def hidden_weights(judge_by: str, rng: np.random.Generator, backbone: str) -> LayerWeights:
    """What somebody looks at: a tenth of the channels of two layers, or of some families, some more than others."""
    if judge_by in MINDS:
        return LayerWeights(weights_of(MINDS[judge_by], rng).astype(np.float32), "hidden", backbone=backbone)
    values = np.zeros(Z_LENGTH)
    for layer in rng.choice(len(LAYERS), 2, replace=False):
        values[LAYERS[layer]] = rng.uniform(0.2, 1)
    values *= (rng.random(Z_LENGTH) < 0.1) * rng.gamma(1, 1, Z_LENGTH)
    return LayerWeights(values.astype(np.float32), "hidden", backbone=backbone)


def image_set(rng: np.random.Generator) -> ImageSet:
    """A made-up picture, and ten others that keep some of it: its shapes, its colours, its texture, its sharpness."""
    target = _picture(rng)
    return ImageSet(_png(target), [_png(_variant(rng, target)) for _ in range(CANDIDATES)])


def _picture(rng: np.random.Generator) -> Image.Image:
    """A smooth background, some blobs, and a grain."""
    background = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize(
        (SIDE, SIDE), Image.Resampling.BICUBIC
    )
    pixels = np.asarray(background, np.float64)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for _ in range(int(rng.integers(3, 9))):
        centre, radius = rng.uniform(0, SIDE, 2), rng.uniform(6, 28)
        inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
        pixels[inside] = rng.integers(0, 256, 3)
    pixels += rng.normal(0, rng.uniform(0, 18), pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _variant(rng: np.random.Generator, target: Image.Image) -> Image.Image:
    """The target after one to three random changes of random strength."""
    image = target
    for change in rng.choice(7, int(rng.integers(1, 4)), replace=False):
        strength = float(rng.uniform(0.2, 1))
        if change == 0:
            image = image.filter(ImageFilter.GaussianBlur(4 * strength))
        elif change == 1:
            pixels = np.asarray(image, np.float64) + rng.normal(0, 50 * strength, (SIDE, SIDE, 3))
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        elif change == 2:
            image = ImageEnhance.Color(image).enhance(1 - strength)
        elif change == 3:
            image = ImageEnhance.Contrast(image).enhance(1 - 0.7 * strength)
        elif change == 4:
            image = Image.fromarray(np.roll(np.asarray(image), int(24 * strength), axis=int(rng.integers(2))))
        elif change == 5:
            image = Image.blend(image, _picture(rng), 0.6 * strength)
        else:
            image = Image.blend(image, ImageOps.posterize(image, 2), strength)
    return image


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _require_service(client: httpx.Client) -> None:
    """Exit with code 2, and one line that says what to do, where no service answers."""
    try:
        client.get("/healthz")
    except httpx.TransportError as error:
        advice = "start one with `clpips serve`, or name another with --url"
        print(f"no service answers at {client.base_url} ({error}): {advice}", file=sys.stderr)
        sys.exit(2)


def _rank(client: httpx.Client, images: ImageSet, profile: str) -> dict[str, Any]:
    files = [("target", ("t.png", images.target)), *(("candidates", ("c.png", image)) for image in images.candidates)]
    reply = client.post("/rank", files=files, data={"profile": profile, "resolution": str(SIDE)})
    answer: dict[str, Any] = _ok(reply).json()
    return answer


def _ok(reply: httpx.Response) -> httpx.Response:
    if reply.is_error:
        raise SystemExit(f"{reply.request.method} {reply.request.url}: {reply.text}")
    return reply


def _by_index(reply: dict[str, Any], name: str) -> NDArray[np.float64]:
    """A number of each candidate, in the order of the request."""
    return np.array([row[name] for row in sorted(reply["ranking"], key=lambda row: row["index"])])


def _agreement(truths: Sequence[NDArray[np.float64]], answers: Sequence[NDArray[np.float64]]) -> float:
    """Share of all pairs within the sets that both order alike."""
    alike = [
        (truth[a] < truth[b]) == (answer[a] < answer[b])
        for truth, answer in zip(truths, answers, strict=True)
        for a, b in combinations(range(len(truth)), 2)
    ]
    return float(np.mean(alike))


def report(courses: Sequence[Course]) -> None:
    """Print the table."""
    lpips = [course.lpips for course in courses]
    print(f"{len(courses)} people, held-out pair agreement; plain LPIPS {statistics.median(lpips):.3f} (median)")
    print("rankings  median   10%    90%  median lead over LPIPS  above LPIPS")
    for place, checkpoint in enumerate(CHECKPOINTS):
        reached = np.array([course.agreement[place] for course in courses])
        lead = reached - lpips
        low, high = np.quantile(reached, [0.1, 0.9])
        print(
            f"{checkpoint:8}  {np.median(reached):.3f}  {low:.3f}  {high:.3f}  {np.median(lead):+22.3f}  "
            f"{np.mean(lead > 0):11.0%}"
        )
    seconds = [course.seconds[-1] for course in courses]
    print(
        f"ranking sent to version in use, with {max(CHECKPOINTS) - 1} earlier rankings: median "
        f"{1000 * statistics.median(seconds):.0f} ms, from {1000 * min(seconds):.0f} to {1000 * max(seconds):.0f} ms"
    )


def plot(courses: Sequence[Course], path: Path) -> None:
    """Draw each person's course, the median, and LPIPS."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    places = range(len(CHECKPOINTS))
    for course in courses:
        axes.plot(places, course.agreement, color="#9db8d9", linewidth=0.8)
    axes.plot([], [], color="#9db8d9", linewidth=0.8, label="each person's profile")
    median = np.median([course.agreement for course in courses], axis=0)
    axes.plot(places, median, color="#1f4e8c", linewidth=2.5, marker="o", label="median")
    lpips = statistics.median(course.lpips for course in courses)
    axes.axhline(lpips, color="#b5482a", linestyle="--", label="plain LPIPS (median)")
    axes.set_xticks(places, [str(checkpoint) for checkpoint in CHECKPOINTS])
    axes.set_xlabel("rankings of ten images taught")
    axes.set_ylabel("held-out pairs ordered as the person does")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--judge-by", choices=["layers", *MINDS], default="layers", help="what the people look at")
    parser.add_argument("--parent", default="balanced", help="what their profiles begin with")
    parser.add_argument("--exams", type=int, default=10, help="held-out sets of ten images")
    parser.add_argument("--noise", type=float, default=0.0, help="people are undecided: Gumbel noise on log distance")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    parser.add_argument("--json", type=Path, metavar="FILE.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
