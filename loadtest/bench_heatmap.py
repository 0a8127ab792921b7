"""What a heat map costs: `/heatmap` of a pair that the service has seen, beside `/distance` of it, in turn.

    python -m loadtest.bench_heatmap [--rounds 40] [--side 256]

One client asks the running service, which has both images already and is named them by hash. A round asks for each
kind of map once, and for the distance, so that whatever else the machine does meets all of them alike. Printed are the
median of a request's milliseconds, from the client's call to the whole answer, and its quartiles; and the processor
time that the service spends on it, which a busy machine spoils less.
"""

import argparse
import hashlib
import time
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np

from loadtest.kit.contenders import clpips
from loadtest.kit.pictures import Pictures

KINDS: Final[dict[str, dict[str, Any]]] = {
    "picture, nearest": {},
    "picture, bilinear": {"upsample": "bilinear"},
    "overlay": {"style": "overlay"},
    "values": {"format": "npy"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--side", type=int, default=256)
    arguments = parser.parse_args()
    target, candidate = Pictures(arguments.side).take(2)
    pair = {name: _name(content) for name, content in (("target", target), ("candidate", candidate))}
    asked = {
        kind: ("/heatmap", {**pair, **options, "resolution": arguments.side}) for kind, options in KINDS.items()
    } | {"distance": ("/distance", {"pairs": [pair], "resolution": arguments.side})}
    waited: dict[str, list[float]] = {kind: [] for kind in asked}
    spent: dict[str, list[float]] = {kind: [] for kind in asked}
    server = clpips()
    server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as client:
            files = {"target": target, "candidate": candidate}
            options = {"resolution": str(arguments.side)}
            client.post("/distance", files=files, data=options).raise_for_status()
            for _ in range(arguments.rounds):
                for kind, (path, body) in asked.items():
                    before, started = _processor_ms(server.process.pid), time.perf_counter()
                    client.post(path, json=body).raise_for_status()
                    waited[kind].append(1000 * (time.perf_counter() - started))
                    spent[kind].append(_processor_ms(server.process.pid) - before)
    finally:
        server.stop()
    for kind in asked:
        low, median, high = np.percentile(waited[kind], [25, 50, 75])
        print(f"{kind:18} {median:6.1f} ms ({low:.1f}–{high:.1f}), processor {np.median(spent[kind]):.1f} ms")


def _processor_ms(process: int) -> float:
    """Time on the processors that a process's threads have had, to the nanosecond (Linux)."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e6


def _name(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
