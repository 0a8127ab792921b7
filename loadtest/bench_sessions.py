"""Sessions beside `/rank`: what a hundred of them cost at once, against the same images sent to `/rank` once.

    python -m loadtest.bench_sessions [--sessions 100] [--candidates 50] [--side 512] [--form png]

Each contender is a service of its own, started for it, with nothing held. `/rank` is given a target and all candidates
of a session in one request, from as many clients as there are sessions. In a second row it is given one candidate in a
request, and all but the first name the target by its hash. In a session they come so, too, as tools make them, and each
answer ranks all so far. What the second row has above the first is what a request for each image costs; what the third
has above the second is what a session costs, which keeps its candidates and ranks them all. The last makes thumbnails
as it decodes, too. The time on the processors is that of all processes of the service.
"""

import argparse
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import httpx
import numpy as np

from loadtest.kit.contenders import LOGS, Server, clpips
from loadtest.kit.pictures import Pictures

PATIENT: Final = {
    "request_seconds": 3600,
    "max_queue": 100_000,
    "max_sessions": 100_000,
    "inflight_body_bytes": 2**34,
}
Refinement = tuple[bytes, Sequence[bytes]]  # a target and its candidates


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--form", choices=("png", "jpeg", "npy"), default="png")
    arguments = parser.parse_args()
    source = Pictures(arguments.side, arguments.form)
    work = [(source.take(1)[0], source.take(arguments.candidates)) for _ in range(arguments.sessions)]
    images = arguments.sessions * (1 + arguments.candidates)
    print(f"{arguments.sessions} at once, {arguments.candidates} candidates each, {arguments.side}² {arguments.form}")
    contenders: dict[str, tuple[Server, Callable[[httpx.Client, Refinement], list[float]]]] = {
        "rank": (clpips("bench-rank", **PATIENT), _rank),
        "rank, one a request": (clpips("bench-single", **PATIENT), _rank_singly),
        "sessions, no thumbnails": (clpips("bench-bare", **PATIENT, session_thumbnail_bytes=0), _refine),
        "sessions": (clpips("bench-sessions", **PATIENT), _refine),
    }
    base: tuple[float, float] | None = None  # seconds, and of the processors
    for name, (server, run) in contenders.items():
        for path in LOGS.glob(f"{server.name}.db*"):
            path.unlink()
        server.start()
        try:
            busy = server.group_seconds()
            seconds, answers = _timed(f"http://127.0.0.1:{server.port}", work, run)
            busy = server.group_seconds() - busy
        finally:
            server.stop()
        base = base or (seconds, busy)
        print(
            f"{name:24} {seconds:7.1f} s  {images / seconds:6.1f} images/s  × {seconds / base[0]:.2f}  "
            f"{1000 * busy / images:5.1f} ms of processor an image  × {busy / base[1]:.2f}  "
            f"answer p50 {np.percentile(answers, 50):.3f} s, p95 {np.percentile(answers, 95):.3f} s"
        )


def _timed(
    url: str, work: Sequence[Refinement], run: Callable[[httpx.Client, Refinement], list[float]]
) -> tuple[float, list[float]]:
    """Seconds for all of the work at once, and of each answer."""
    limits = httpx.Limits(max_connections=len(work), max_keepalive_connections=len(work))
    with httpx.Client(base_url=url, timeout=3600, limits=limits) as client, ThreadPoolExecutor(len(work)) as threads:
        started = time.perf_counter()
        answers = [one for each in threads.map(lambda refinement: run(client, refinement), work) for one in each]
        return time.perf_counter() - started, answers


def _rank(client: httpx.Client, refinement: Refinement) -> list[float]:
    target, candidates = refinement
    files = [("target", target), *(("candidates", one) for one in candidates)]
    return [_post(client, "/rank", files)[0]]


def _rank_singly(client: httpx.Client, refinement: Refinement) -> list[float]:
    target, candidates = refinement
    named = {"target": f"sha256:{hashlib.sha256(target).hexdigest()}"}
    answers: list[float] = []
    for candidate in candidates:
        whole, seconds = [("target", target), ("candidates", candidate)], 0.0
        if answers:
            seconds, answer = _post(client, "/rank", whole[1:], named)
            if answer.status_code != httpx.codes.CONFLICT:
                answers.append(seconds)
                continue
        answers.append(seconds + _post(client, "/rank", whole)[0])  # for the first time, or the target was evicted
    return answers


def _refine(client: httpx.Client, refinement: Refinement) -> list[float]:
    target, candidates = refinement
    first, made = _post(client, "/sessions", [("target", target)])
    path = f"/sessions/{made.json()['session']}/candidates"
    answers = [first]
    for count, candidate in enumerate(candidates, start=1):
        files = [("candidates", candidate)]
        seconds, answer = _post(client, path, files)
        if answer.status_code == httpx.codes.CONFLICT:  # the target was evicted: once more, with it
            again, answer = _post(client, path, [*files, ("target", target)])
            seconds += again
        answers.append(seconds)
        assert len(answer.raise_for_status().json()["ranking"]) == count, answer.text
    return answers


def _post(
    client: httpx.Client, path: str, files: Sequence[tuple[str, bytes]], fields: Mapping[str, str] | None = None
) -> tuple[float, httpx.Response]:
    started = time.perf_counter()
    answer = client.post(path, files=list(files), data=fields)
    if answer.status_code != httpx.codes.CONFLICT:
        answer.raise_for_status()
    return time.perf_counter() - started, answer


if __name__ == "__main__":
    main()
