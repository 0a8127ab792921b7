"""Two replicas on one database: real processes, and a profile that both teach."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest

from tests.support.colours import bluest, colours, flat
from tests.support.databases import KINDS, fresh_database
from tests.support.processes import environment, wait_for_url

REFRESH_SECONDS = 0.3
SERVE = """
import sys
from clpips.service.server import serve
from clpips.service.settings import Settings
from tests.support.colours import ColourEngine

if __name__ == "__main__":
    serve(Settings(port=0, database_url=sys.argv[1], profile_refresh_seconds=float(sys.argv[2]), drain_seconds=0,
                   request_seconds=100, log_format="json"),
          ColourEngine())
"""


@contextmanager
def replica(url: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that starts, and is stopped in the end."""
    with log.open("w") as errors:
        command = [sys.executable, "-c", SERVE, url, str(REFRESH_SECONDS)]
        process = subprocess.Popen(command, stderr=errors, env=environment())
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module", params=KINDS)
def replicas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[httpx.Client]]:
    folder = tmp_path_factory.mktemp("replicas")
    with fresh_database(request.param, folder) as url, ExitStack() as stack:
        logs = [folder / f"replica-{number}.log" for number in range(2)]
        processes = [stack.enter_context(replica(url, log)) for log in logs]  # both start at the same time
        clients = [
            stack.enter_context(httpx.Client(base_url=wait_for_url(process, log), timeout=60))
            for process, log in zip(processes, logs, strict=True)
        ]
        yield clients


@pytest.fixture
def profile(replicas: list[httpx.Client]) -> str:
    """A profile that no other test has seen."""
    name = uuid4().hex
    assert replicas[0].post("/profiles", json={"name": name}).status_code == 201
    return name


def rank(client: httpx.Client, profile: str, seed: int) -> httpx.Response:
    target, *candidates = colours(seed)
    files = [("target", flat(target)), *(("candidates", flat(one)) for one in candidates)]
    return client.post("/rank", files=files, data={"profile": profile})


def teach(client: httpx.Client, profile: str, seed: int) -> int:
    target, *candidates = colours(seed)
    files = [("target", flat(target)), *(("candidates", flat(one)) for one in candidates)]
    order = {"order": ",".join(map(str, bluest(seed)))}
    answer = client.post(f"/profiles/{profile}/rankings", files=files, data=order)
    assert answer.status_code == 201, answer.text
    number: int = answer.json()["ranking"]
    return number


def test_replicas_that_teach_at_once_lose_no_ranking_and_keep_versions_in_order(
    replicas: list[httpx.Client], profile: str
) -> None:
    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(lambda seed: teach(replicas[seed % 2], profile, seed), range(16)))
    assert sorted(numbers) == list(range(1, 17))
    for client in replicas:
        detail = client.get(f"/profiles/{profile}", params={"limit": 100}).json()
        assert (detail["rankings"], detail["unlearned"]) == (16, 0)
        seen = [version["fit"]["rankings"] for version in detail["versions"] if "fit" in version]
        assert seen == sorted(seen, reverse=True)
        assert seen[0] == 16
        assert [version["number"] for version in detail["versions"]] == list(range(len(detail["versions"]), 0, -1))


def test_a_new_version_is_used_on_every_replica_within_the_refresh_time(
    replicas: list[httpx.Client], profile: str
) -> None:
    assert [rank(client, profile, 100).json()["profile"]["version"] for client in replicas] == [1, 1]
    for seed in range(6):
        teach(replicas[0], profile, seed)
    taken = replicas[0].get(f"/profiles/{profile}").json()["version"]
    time.sleep(REFRESH_SECONDS)  # what the setting promises
    for client in replicas:
        reply = rank(client, profile, 100).json()
        assert reply["profile"]["version"] == taken
        assert [row["index"] for row in reply["ranking"]] == bluest(100)


def test_a_profile_deleted_on_one_replica_is_gone_on_the_other(replicas: list[httpx.Client], profile: str) -> None:
    assert rank(replicas[1], profile, 1).status_code == 200
    assert replicas[0].delete(f"/profiles/{profile}").status_code == 200
    time.sleep(REFRESH_SECONDS)
    assert rank(replicas[1], profile, 1).status_code == 422


def test_a_comparison_of_one_replica_can_be_ordered_on_the_other_where_they_share_postgresql(
    replicas: list[httpx.Client], profile: str, request: pytest.FixtureRequest
) -> None:
    comparison = rank(replicas[0], profile, 1).json()["comparison"]
    answer = replicas[1].post(f"/profiles/{profile}/rankings", json={"comparison": comparison, "order": bluest(1)})
    shared = request.node.callspec.params["replicas"] == "postgresql"
    assert answer.status_code == (201 if shared else 404)
    assert np.isfinite(answer.json().get("guessed", 0))
