"""Locust scenarios: people who refine, tools that measure pairs, and jobs that rank hundreds.

    locust --locustfile loadtest/locustfile.py --host http://127.0.0.1:8000
    locust ... --headless --run-time 1m RefinementUser          one of them alone

Images are made on the fly and unique, unless the scenario is about seeing them again. The run fails (exit code 1) when
more than `MAX_FAILURES` of the requests fail, or the 95th percentile of a name is above its bound: `P95_SECONDS`, or
the environment variable `LOADTEST_P95_SECONDS` for all of them.
"""

import os
from typing import Any, Final
from uuid import uuid4

from locust import FastHttpUser, constant, events, task
from locust.env import Environment

from loadtest.kit.client import Body, pair_body, rank_body
from loadtest.kit.pictures import Pictures

MAX_FAILURES: Final = 0.01
P95_SECONDS: Final = {"refine": 5.0, "pair": 3.0, "bulk": 30.0}
ITERATIONS: Final = 10
BULK: Final = 200


class ScoringUser(FastHttpUser):
    """Sends bodies that were built here, and calls anything but 200 a failure."""

    abstract = True
    connection_timeout = 10.0
    network_timeout = 60.0

    def send(self, body: Body, name: str) -> Any:
        """The parsed answer, or None where there is none."""
        headers = {"Content-Type": body.content_type}
        with self.client.post(
            body.path,
            data=body.content,  # type: ignore[arg-type]  # bytes are sent as they are
            headers=headers,
            name=name,
            catch_response=True,
        ) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {response.text[:200]}")
                return None
            return response.json()


class RefinementUser(ScoringUser):
    """Refines an image: one target, ten iterations, each ranks all candidates so far; known ones go by their hash."""

    weight = 6
    wait_time = constant(0.5)

    def on_start(self) -> None:
        self._pictures = Pictures(512, "png", seed=id(self), distinct=8)

    @task
    def refine(self) -> None:
        target: bytes | str = next(self._pictures)
        candidates: list[bytes | str] = []
        for _ in range(ITERATIONS):
            candidates.append(next(self._pictures))
            reply = self.send(rank_body(target, candidates), "refine")
            if reply is None:
                return
            target = reply["target"]
            by_place = sorted(reply["ranking"], key=lambda row: int(row["index"]))
            candidates = [row["candidate"] for row in by_place]


class PairUser(ScoringUser):
    """Measures one pair at a time, as a test suite does."""

    weight = 3
    wait_time = constant(0.2)

    def on_start(self) -> None:
        self._pictures = Pictures(256, "png", seed=id(self), distinct=8)

    @task
    def measure(self) -> None:
        self.send(pair_body(next(self._pictures), next(self._pictures)), "pair")


class TeachingUser(ScoringUser):
    """Ranks ten, drags the worst to the front, and ranks again with what was learned; a fresh profile for each user."""

    weight = 2
    wait_time = constant(1)

    def on_start(self) -> None:
        self._pictures = Pictures(256, "png", seed=id(self), distinct=16)
        self._profile = f"load-{uuid4().hex}"
        self._post("/profiles", {"name": self._profile}, "create")

    def on_stop(self) -> None:
        self.client.delete(f"/profiles/{self._profile}", name="delete")

    @task
    def teach(self) -> None:
        target, candidates = next(self._pictures), self._pictures.take(10)
        shown = self.send(rank_body(target, candidates, profile=self._profile), "rank to teach")
        if shown is None:
            return
        order = [row["index"] for row in shown["ranking"]]
        taught = {"comparison": shown["comparison"], "order": [order[-1], *order[:-1]]}
        self._post(f"/profiles/{self._profile}/rankings", taught, "teach")
        known = [row["candidate"] for row in sorted(shown["ranking"], key=lambda row: int(row["index"]))]
        self.send(rank_body(shown["target"], known, profile=self._profile), "rank again")

    def _post(self, path: str, content: dict[str, Any], name: str) -> None:
        with self.client.post(path, json=content, name=name, catch_response=True) as response:
            if response.status_code != 201:
                response.failure(f"{response.status_code}: {response.text[:200]}")


class BulkUser(ScoringUser):
    """Ranks 200 candidates at once, as pixels."""

    weight = 1
    wait_time = constant(5)

    def on_start(self) -> None:
        self._pictures = Pictures(256, "npy", seed=id(self), distinct=8)

    @task
    def rank(self) -> None:
        self.send(rank_body(next(self._pictures), self._pictures.take(BULK)), "bulk")


@events.quitting.add_listener  # type: ignore[untyped-decorator]  # locust's is
def judge(environment: Environment, **_: Any) -> None:
    """Set the exit code by the thresholds, and say which was not held."""
    stats = environment.stats
    complaints = []
    if stats.total.num_requests == 0:
        complaints.append("no request was sent")
    if stats.total.fail_ratio > MAX_FAILURES:
        complaints.append(f"{stats.total.fail_ratio:.1%} of the requests failed, the bound is {MAX_FAILURES:.0%}")
    for (name, _method), entry in stats.entries.items():
        bound = float(os.environ.get("LOADTEST_P95_SECONDS", P95_SECONDS.get(name, 5.0)))
        seconds = (entry.get_response_time_percentile(0.95) or 0) / 1000
        if seconds > bound:
            complaints.append(f"p95 of {name} is {seconds:.2f} s, the bound is {bound:g} s")
    for complaint in complaints:
        print(f"loadtest: {complaint}")
    if complaints:
        environment.process_exit_code = 1
