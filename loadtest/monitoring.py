"""Rules and dashboard against a real Prometheus that scrapes a real service, under load and under too much of it.

    python -m loadtest.monitoring          about five minutes; needs Debian's `prometheus`

First locust's users and one who teaches a profile, for two minutes: every rule must evaluate without error, and every
query of the dashboard must have an answer. Then too much, for two and a half: `ClpipsOverloaded` must
fire and no other alert. The exit code says whether all of it was so. Nothing but 127.0.0.1 is talked to.
"""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

import msgspec

from loadtest.kit.client import Connection, rank_body
from loadtest.kit.contenders import clpips
from loadtest.kit.pictures import Pictures

OBSERVABILITY: Final = Path(__file__).parent.parent / "deploy" / "observability"
LOAD_SECONDS: Final = 120
OVERLOAD_SECONDS: Final = 150  # the alert waits for a minute, and its rate needs a few scrapes before
OVERLOAD_CLIENTS: Final = 24
CANDIDATES: Final = 16
PROFILE: Final = "monitoring"
TEACHING_PAUSE: Final = 3.0  # seconds
QUEUE: Final = 64  # images: four of these requests
EXPECTED: Final = {"ClpipsOverloaded"}


class Prometheus:
    """Debian's Prometheus with our rules, scraping one service on `port` as `job="clpips"`."""

    def __init__(self, folder: Path, port: int) -> None:
        program = shutil.which("prometheus")
        if program is None:
            raise SystemExit("needs prometheus: apt-get install prometheus")
        shutil.copy(OBSERVABILITY / "rules.yaml", folder)
        configuration = (OBSERVABILITY / "prometheus.yaml").read_text().replace("clpips:8000", f"127.0.0.1:{port}")
        (folder / "prometheus.yml").write_text(configuration)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self._url.removeprefix('http://')}",
                "--log.level=warn",
            ]
        )

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer of the HTTP API. Raises `OSError` while it does not answer, or refuses."""
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as reply:  # noqa: S310  our own address
            return json.load(reply)["data"]

    def query(self, expression: str) -> list[Any]:
        """The series that an expression has now."""
        series: list[Any] = self.ask("query", query=expression)["result"]
        return series

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


def dashboard_queries() -> dict[str, str]:
    """The dashboard's queries as Grafana sends them with every namespace and replica chosen, by panel."""
    dashboard = json.loads((OBSERVABILITY / "dashboard.json").read_text())
    queries = {}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            text = target["expr"]
            for variable, value in {"$__rate_interval": "1m", "$namespace": ".*", "$instance": ".*"}.items():
                text = text.replace(variable, value)
            queries[f"{panel['title']} {target['refId']}"] = text
    return queries


def locust(port: int) -> None:
    """People who refine, tools that measure pairs and jobs, for `LOAD_SECONDS`."""
    command = [sys.executable, "-m", "locust", "--locustfile", str(Path(__file__).with_name("locustfile.py"))]
    options = ["--headless", "--users", "3", "--spawn-rate", "3", "--run-time", f"{LOAD_SECONDS}s", "--only-summary"]
    subprocess.run([*command, "--host", f"http://127.0.0.1:{port}", *options], check=False)


def teach(port: int, seconds: float) -> None:
    """One person who ranks with a profile of theirs and puts the answer in another order, every few seconds."""
    pictures = Pictures(256, "npy", seed=7, distinct=8)
    _post(port, "/profiles", {"name": PROFILE})
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ask = {"target": next(pictures), "candidates": pictures.take(4), "profile": PROFILE}
        answer = _post(port, "/rank", ask)
        order = [row["index"] for row in reversed(answer["ranking"])]
        _post(port, f"/profiles/{PROFILE}/rankings", {"comparison": answer["comparison"], "order": order})
        time.sleep(TEACHING_PAUSE)


def _post(port: int, path: str, content: dict[str, Any]) -> Any:
    headers = {"content-type": "application/vnd.msgpack", "accept": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", msgspec.msgpack.encode(content), headers)
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310  our own address
        return json.load(reply)


async def overload(port: int) -> dict[int, int]:
    """More clients than the queue has room for, each trying again at once; how often each status came."""
    pictures = Pictures(256, "npy")
    until = time.monotonic() + OVERLOAD_SECONDS
    counts: dict[int, int] = {}

    async def client() -> None:
        connection = Connection(port)
        while time.monotonic() < until:
            reply = await connection.send(rank_body(next(pictures), pictures.take(CANDIDATES)))
            counts[reply.status] = counts.get(reply.status, 0) + 1
            if reply.status != 200:
                await asyncio.sleep(0.25)

    await asyncio.gather(*(client() for _ in range(OVERLOAD_CLIENTS)))
    return counts


def broken_rules(prometheus: Prometheus) -> list[str]:
    """Rules that have not been evaluated, or not without an error."""
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    print(f"rules: {len(rules)}")
    return [f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}" for rule in rules if rule["health"] != "ok"]


def main() -> int:
    """0 where everything is as it should be."""
    complaints = []
    with tempfile.TemporaryDirectory() as folder:
        server = clpips("monitoring", max_queue=QUEUE, database_url=f"sqlite:///{folder}/clpips.db")
        server.start()
        prometheus = Prometheus(Path(folder), server.port)
        try:
            teaching = threading.Thread(target=teach, args=(server.port, LOAD_SECONDS))
            teaching.start()
            locust(server.port)
            teaching.join()
            complaints += broken_rules(prometheus)
            queries = dashboard_queries()
            answers = {panel: prometheus.query(query) for panel, query in queries.items()}
            complaints += [f"no data: {panel}" for panel, series in answers.items() if not series]
            print(f"dashboard: {sum(map(bool, answers.values()))} of {len(queries)} queries have data")
            firing = prometheus.query('ALERTS{alertstate="firing"}')
            complaints += [f"fires without need: {series['metric']['alertname']}" for series in firing]

            print(f"overload: answers by status {asyncio.run(overload(server.port))}")
            fired = prometheus.query('count by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1h]))')
            names = {series["metric"]["alertname"] for series in fired}
            print(f"overload: {', '.join(sorted(names)) or 'nothing'} fired")
            for record in ("clpips:turned_away:ratio_rate5m", "clpips:request_seconds:p95_5m"):
                print(record, *(series["value"][1] for series in prometheus.query(record)))
            if names != EXPECTED:
                complaints.append(f"expected {EXPECTED} to fire, and {names} did")
        finally:
            prometheus.stop()
            server.stop()
    for complaint in complaints:
        print(f"monitoring: {complaint}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
