"""What the content network costs `/rank`, and whom: weights that use it beside weights that do not, in turn.

    python -m loadtest.bench_families [--rounds 9] [--requests 3] [--before SOURCES]

Each round ranks a target and ten candidates, all unique 512² PNG, by `lpips` and by `balanced`, which runs the content
network, on one service. SOURCES is the `src` folder of another checkout: its service ranks by `lpips` in turn, in a
process of its own, so that what a change costs those who do not use it is seen. Who does not run is frozen.

Printed are ratios to `lpips` here, the median of the rounds with the quartiles: of the time from request to answer, and
of the service's processor time, which a machine that is busy with something else spoils less.
"""

import argparse
import asyncio
import dataclasses
import random
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from loadtest.kit.client import Body, drive, rank_body
from loadtest.kit.contenders import Server, clpips
from loadtest.kit.pictures import Pictures
from loadtest.kit.scenarios import CANDIDATES, checked

CLIENTS = 2


class Contender(NamedTuple):
    """Weights on a service."""

    name: str
    server: Server
    profile: str


class Cost(NamedTuple):
    """What a ranking took, in seconds: of the clock, and of the processors."""

    seconds: float
    processor: float


async def cost_of(contender: Contender, pictures: Pictures, requests: int) -> Cost:
    """What a ranking costs in one round of so many requests a client."""
    server = contender.server

    def body() -> Body:
        return rank_body(next(pictures), pictures.take(CANDIDATES), profile=contender.profile)

    clients = [[body() for _ in range(requests)] for _ in range(CLIENTS)]
    server.thaw()
    before = server.processor_seconds()
    load = checked(await drive(server.port, clients))
    used = server.processor_seconds() - before
    server.freeze()
    return Cost(load.seconds / len(load.latencies), used / len(load.latencies))


def report(costs: dict[str, list[Cost]], first: str) -> None:
    """Print each contender's ratios to the first."""
    for name, found in costs.items():
        words = [f"{np.median([one.seconds for one in found]) * 1e3:6.0f} ms a ranking"]
        for field in Cost._fields:
            ratios = [getattr(a, field) / getattr(b, field) for a, b in zip(found, costs[first], strict=True)]
            low, median, high = np.percentile(ratios, [25, 50, 75])
            words.append(f"{field} × {median:.3f} [{low:.3f}, {high:.3f}]")
        print(f"{name:<16} {'   '.join(words)}")


def main() -> None:
    """Start the services, measure in turn, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=3, help="of each client in a round")
    parser.add_argument("--before", type=Path, metavar="SOURCES")
    options = parser.parse_args()
    here = clpips("families", feature_cache_bytes=0)
    contenders = [Contender("lpips", here, "lpips"), Contender("balanced", here, "balanced")]
    servers = [here]
    if options.before is not None:
        server = clpips("families-before", feature_cache_bytes=0)
        server = dataclasses.replace(
            server, environment={**server.environment, "PYTHONPATH": str(options.before.resolve())}
        )
        servers.append(server)
        contenders.append(Contender("lpips before", server, "lpips"))
    costs: dict[str, list[Cost]] = defaultdict(list)
    pictures = Pictures(512, "png")
    started: list[Server] = []
    try:
        for server in servers:
            server.start()
            started.append(server)
            server.freeze()
        for round_number in range(options.rounds + 1):
            for contender in random.sample(contenders, len(contenders)):
                cost = asyncio.run(cost_of(contender, pictures, options.requests))
                if round_number:  # the first loads networks, and does not count
                    costs[contender.name].append(cost)
    finally:
        for server in started:
            server.stop()
    report({contender.name: costs[contender.name] for contender in contenders}, "lpips")


if __name__ == "__main__":
    main()
