"""The service under wide load beside its alternatives, all on one device: for a machine with a GPU.

    python -m loadtest.benchmark_device --device cuda [--clients 16,64,256] [--forms npy,jpeg,png] [--rounds 5]

`/rank` of ten unique candidates and a unique target: JPEG and PNG of 512², `.npy` of 256²; then one client alone that
ranks ten `.npy` against a target that the service has seen. As `loadtest.benchmark` does it: contenders take turns, all
but one frozen, medians with the least and the greatest. The service and the generator share the machine's cores.
"""

import argparse
import json
from pathlib import Path
from typing import get_args

from loadtest.benchmark import Results, compare, show
from loadtest.kit.client import drive, rank_body
from loadtest.kit.contenders import Server, clpips, litserve, plain
from loadtest.kit.pictures import Format, Pictures
from loadtest.kit.scenarios import CANDIDATES, Measured, Scenario, checked, ranking

SIDES: dict[Format, int] = {"npy": 256, "jpeg": 512, "png": 512}
REQUESTS = {"cpu": 2, "cuda": 8}  # of each client in a round
QUEUE = 2**15  # images in hand: this is about throughput, and nobody is to be turned away


async def seen(server: Server, round_number: int) -> Measured:
    """One client ranks ten unique `.npy` of 256² at a time, always against one target."""
    pictures = Pictures(256, "npy", seed=4000 + round_number)
    target = next(pictures)
    bodies = [rank_body(target, pictures.take(CANDIDATES)) for _ in range(21)]
    await drive(server.port, [bodies[:1]])
    load = checked(await drive(server.port, [bodies[1:]]))
    return {"p50 ms": load.percentile(50) * 1e3, "p95 ms": load.percentile(95) * 1e3}


def servers(device: str) -> list[Server]:
    ours = [clpips(device=device, max_queue=QUEUE)]
    if device == "cuda":
        ours.append(clpips("clpips fast", device=device, max_queue=QUEUE, precision="fast"))
    return [*ours, plain(device), litserve(device)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--clients", default="16,64,256", help="numbers of clients, separated by commas")
    parser.add_argument("--forms", default="npy,jpeg,png", help="image formats, separated by commas")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count; one more comes first [default: 5]")
    parser.add_argument("--out", type=Path, default=Path("reports") / "benchmark_device", help="where the figures go")
    arguments = parser.parse_args()
    device: str = arguments.device
    scenarios: dict[str, Scenario] = {}
    for form in get_args(Format):
        for clients in map(int, arguments.clients.split(",")):
            if form in arguments.forms.split(","):
                title = f"/rank, 1 + {CANDIDATES} unique {SIDES[form]}² {form}, {clients} clients"
                scenarios[title] = ranking(form, SIDES[form], REQUESTS[device], clients)
    scenarios[f"/rank, {CANDIDATES} unique 256² npy, target seen, one client"] = seen
    everything: dict[str, Results] = {}
    for title, scenario in scenarios.items():
        everything[title] = compare(scenario, servers(device), (), arguments.rounds)
        show(f"{title}, on {device} ({arguments.rounds} rounds)", everything[title])
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "service.json").write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
