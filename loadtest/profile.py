"""Where a ranking's processor time goes, end to end: the parts alone, and what the service takes beside them.

    python -m loadtest.profile [--rankings 12] [--side 512] [--convolution auto] [--out reports/profile.json]

A ranking is a target and ten candidates, PNG, each unique, as multipart and as JSON with base64. The parts run in this
process, one after the other, in its own processor time; then a service answers the same rankings, and its process's
time is taken: what the parts leave of it is HTTP, the event loop, hand-overs between threads, and the kernel. Other
load on the machine makes all of it slower and leaves the shares much as they are.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from clpips.models.engines.contract import Engine
from clpips.models.engines.opening import open_engine
from clpips.models.images.decoding import decode
from clpips.models.images.resize import resize
from clpips.models.metric.backbone import DEFAULT_RESOLUTION
from clpips.models.metric.distance import weigh
from clpips.models.metric.weights_files import load_weights
from clpips.service.wire.bodies import parse_rank
from clpips.service.wire.media_types import JSON
from clpips.service.wire.schemas import Limits
from loadtest.kit.client import Body, drive, rank_body
from loadtest.kit.contenders import clpips
from loadtest.kit.pictures import Pictures

CANDIDATES = 10
CLIENTS = 4
LIMITS = Limits(128 * 2**20, 256, 1024)

console = Console()


class Clock:
    """Processor time of this process by part, in milliseconds, one value a ranking."""

    def __init__(self) -> None:
        self.parts: dict[str, list[float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.parts.setdefault(name, []).append((time.process_time() - started) * 1e3)

    def medians(self) -> dict[str, float]:
        return {name: statistics.median(values) for name, values in self.parts.items()}


def json_body(target: bytes, candidates: list[bytes]) -> Body:
    """A `/rank` request as JSON, its images in base64."""
    images = [base64.b64encode(image).decode() for image in (target, *candidates)]
    return Body("/rank", json.dumps({"target": images[0], "candidates": images[1:]}).encode(), JSON)


def measure_parts(pictures: Pictures, engine: Engine, body_of: Callable[..., Body], rankings: int) -> dict[str, float]:
    """Milliseconds of a ranking by part, each by itself on one core."""
    clock, weights = Clock(), load_weights().values
    for number in range(rankings + 1):
        now = clock if number else Clock()  # the first warms up
        files = pictures.take(1 + CANDIDATES)
        body = body_of(files[0], files[1:])
        with now.part("parse the body"):
            asked = parse_rank(body.content_type, body.content, LIMITS)
        contents = [slot.image.content for slot in (asked.target, *asked.candidates)]  # type: ignore[union-attr]
        with now.part("of it: sha256"):
            for content in contents:
                hashlib.sha256(content).hexdigest()
        with now.part("decode"):
            pixels = [decode(content) for content in contents]
        with now.part("resize"):
            images = [resize(one, DEFAULT_RESOLUTION) for one in pixels]
        with now.part("embed"):
            features = [
                one
                for start in range(0, len(images), engine.batch)
                for one in engine.embed(images[start : start + engine.batch], more=True)
            ]
        with now.part("compare"):
            z = engine.compare([features[0]] * CANDIDATES, features[1:])
        with now.part("weigh and reply"):
            distances = weigh(z, weights)
            msgspec.json.encode({"ranking": [{"distance": float(one)} for one in np.sort(distances)]})
    return clock.medians()


def measure_service(pictures: Pictures, body_of: Callable[..., Body], rankings: int, convolution: str) -> float:
    """Milliseconds of the service's process for a ranking, of all its threads."""
    server = clpips("profile", convolution=convolution)
    server.start()
    try:
        spent = []
        for count in (CLIENTS, rankings):  # the first warms up
            bodies = [[body_of(next(pictures), pictures.take(CANDIDATES))] for _ in range(count)]
            before = server.processor_seconds()
            for start in range(0, count, CLIENTS):
                load = asyncio.run(drive(server.port, bodies[start : start + CLIENTS]))
                if load.other or load.refused:
                    raise RuntimeError(f"not every ranking was answered: {load.other}, {len(load.refused)} refused")
            spent.append((server.processor_seconds() - before) * 1e3 / count)
    finally:
        server.stop()
    return spent[-1]


def show(title: str, parts: dict[str, float], service: float) -> dict[str, float]:
    """Print the shares of the service's time, and return the milliseconds."""
    own = sum(value for name, value in parts.items() if not name.startswith("of it"))
    rows = {**parts, "HTTP, event loop, threads, kernel": service - own, "all of it": service}
    table = Table(title=title, title_justify="left")
    for heading in ("", "ms a ranking", "share"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, value in rows.items():
        table.add_row(name, f"{value:.1f}", f"{100 * value / service:.1f} %")
    console.print(table)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rankings", type=int, default=12, help="that count; a few more come first [default: 12]")
    parser.add_argument("--side", type=int, default=512, help="of the pictures, in pixels [default: 512]")
    parser.add_argument("--convolution", choices=("auto", "direct", "winograd"), default="auto")
    parser.add_argument("--out", type=Path, default=Path("reports") / "profile.json", help="where the figures go")
    arguments = parser.parse_args()
    engine = open_engine("onnx", "cpu", convolution=arguments.convolution, threads=1)
    report = {}
    for name, body_of in (("multipart", rank_body), ("JSON", json_body)):
        pictures = Pictures(arguments.side)
        parts = measure_parts(pictures, engine, body_of, arguments.rankings)
        service = measure_service(pictures, body_of, arguments.rankings, engine.convolution)
        title = f"/rank, 1 + {CANDIDATES} PNG of {arguments.side}², {name}, {engine.convolution} convolutions"
        report[name] = show(title, parts, service)
    engine.close()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
