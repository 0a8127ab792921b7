"""The client on the oldest Python that it is for: what it exports, and a ranking by a few lines of HTTP."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import clpips_client
import numpy as np

COMPUTED = {
    "profile": {"name": "lpips", "version": 1, "fingerprint": "f"},
    "engine": {"name": "e", "device": "cpu", "precision": "exact", "convolution": "direct", "backbone": "b"},
}
PLACE = {"rank": 1, "index": 0, "distance": 0.5, "base_rank": 1, "base_distance": 0.5, "candidate": "sha256:c"}
RANKING = {"comparison": "abc", "ranking": [PLACE], "target": "sha256:t", **COMPUTED}
PROFILE = {"name": "ada", "parent": "lpips", "version": 1, "rankings": 0, "created": "2026-11-27T01:11:51.922293Z"}


class Handler(BaseHTTPRequestHandler):
    """Answers every ranking alike."""

    def log_message(self, *_: object) -> None:
        """Nothing: it is no log's business."""

    def do_POST(self) -> None:
        """The same answer to whatever is asked at a path."""
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(RANKING if self.path == "/rank" else PROFILE).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Rank, and make a profile."""
    assert all(hasattr(clpips_client, name) for name in clpips_client.__all__)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with clpips_client.Client(f"127.0.0.1:{server.server_address[1]}") as client:
        image = np.zeros((32, 32, 3), np.uint8)
        ranking = client.rank(image, [image])
        assert ranking.best.distance == 0.5
        assert ranking._repr_html_()
        assert client.profiles.create("ada").created.tzinfo is not None
    server.shutdown()
    print("the client ranked on its oldest Python")  # noqa: T201


if __name__ == "__main__":
    main()
