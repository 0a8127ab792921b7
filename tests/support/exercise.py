"""Use an installed `clpips` as its users do: migrate, serve, rank, teach, fit. The standard library alone.

    python tests/support/exercise.py DIRECTORY_OF_THE_COMMANDS

Packages called `models` and `service`, which must never be imported, stand first on Python's path: as in the project of
somebody who has packages of these names. The commands run in a folder with modules called `clpips` and `numpy`, which
must not be imported either. Exits with an error where anything is not as it should be.
"""

import base64
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import urllib.request
import zlib
from pathlib import Path
from typing import Any

HOSTILE = 'raise SystemExit("somebody else\'s package was imported")\n'
SIDE = 64  # pixels


def png(seed: int) -> bytes:
    """An RGB image of noise, `SIDE` × `SIDE` pixels."""
    noise = random.Random(seed)  # noqa: S311 - pictures, no secrets
    rows = b"".join(b"\0" + noise.randbytes(3 * SIDE) for _ in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


class Installed:
    """The commands in `scripts`, run in `folder`, with hostile modules there and hostile packages before all others."""

    def __init__(self, scripts: Path, folder: Path) -> None:
        path = folder / "path"
        for name in ("models", "service"):
            (path / name).mkdir(parents=True)
            (path / name / "__init__.py").write_text(HOSTILE)
        for name in ("clpips", "numpy", "queue", "msgspec"):  # in the folder that the commands run in
            (folder / f"{name}.py").write_text(HOSTILE)
        self._clpips = str(scripts / "clpips")
        self._folder = folder
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLPIPS_")}
        self._environment = {
            **inherited,
            "PYTHONPATH": str(path),
            "CLPIPS_CACHE": str(folder / "cache"),
            "CLPIPS_DATABASE_URL": f"sqlite:///{folder}/clpips.db",
            "CLPIPS_PORT": "0",
        }

    def run(self, *arguments: str) -> str:
        """What the command prints; raises `CalledProcessError` where it fails."""
        done = subprocess.run(
            [self._clpips, *arguments],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout

    def serve(self) -> tuple[subprocess.Popen[str], str]:
        """A running service and its URL."""
        process = subprocess.Popen(
            [self._clpips, "serve"], cwd=self._folder, env=self._environment, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        for line in process.stderr:
            event = json.loads(line)
            if event["event"] == "listening":
                return process, event["url"]
        raise AssertionError(f"the service stopped with exit code {process.wait()}")


def post(url: str, body: dict[str, Any]) -> Any:
    """The JSON answer to a JSON body."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - on this machine
        return json.load(answer)


def exercise(installed: Installed, folder: Path) -> None:
    """Everything that a first user does."""
    images = {f"{seed}.png": png(seed) for seed in range(4)}
    for name, content in images.items():
        (folder / name).write_bytes(content)
    target, *candidates = images

    assert installed.run("--version").startswith("clpips ")
    installed.run("migrate")
    ranked = json.loads(installed.run("rank", target, *candidates, "--json"))["ranking"]
    assert [row["rank"] for row in ranked] == [1, 2, 3], ranked

    lines = [
        {"set": f"{one}", "target": one, "candidates": [name for name in images if name != one], "ranks": [3, 1, 2]}
        for one in images
    ]
    (folder / "rankings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    installed.run("fit", "rankings.jsonl", "--out", "mine.safetensors")
    installed.run("rank", target, *candidates, "--weights", "mine.safetensors")

    process, url = installed.serve()
    try:
        encoded = {name: base64.b64encode(content).decode() for name, content in images.items()}
        post(f"{url}/profiles", {"name": "ada"})
        request = {"target": encoded[target], "candidates": [encoded[name] for name in candidates], "profile": "ada"}
        answer = post(f"{url}/rank", request)
        assert sorted(row["index"] for row in answer["ranking"]) == [0, 1, 2], answer
        order = [row["index"] for row in reversed(answer["ranking"])]
        taught = post(f"{url}/profiles/ada/rankings", {"comparison": answer["comparison"], "order": order})
        assert taught["ranking"] == 1, taught  # kept, and fitted by a process of its own
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        log = process.stderr.read()
    assert process.wait(timeout=60) == 0, log


def main() -> None:
    """Exercise the installation whose commands lie in the folder that is named."""
    with tempfile.TemporaryDirectory() as folder:
        exercise(Installed(Path(sys.argv[1]).absolute(), Path(folder)), Path(folder))
    print("installed, migrated, ranked, fitted, served, taught")  # noqa: T201


if __name__ == "__main__":
    main()
