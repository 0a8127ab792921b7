"""Bulk scoring on a real Ray of this machine: an actor is killed and a node stopped, and the table is whole and equal.

The cluster is Ray's own for tests: a head, and a second raylet on loopback.
"""

import os
import signal
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clpips.models.bulk.job import Job
from clpips.models.bulk.progress import Progress
from clpips.models.bulk.running import run
from clpips.models.bulk.tasks import Outcome, Task
from clpips.models.bulk.worker import Worker
from clpips.models.cli.commands import main
from tests.support.bulk import image_files, options, parts, random_pairs, run_job, whole, write_table

IMAGES, PAIRS, SHARD_IMAGES = 30, 160, 4

ray = pytest.importorskip("ray", reason="needs Ray: pip install -e '.[ray]'")
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Ray's own: files and sockets that it leaves to the collector
    pytest.mark.timeout(400),  # a cluster takes half a minute to start on a busy machine
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of two nodes with two CPUs each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
        from ray.cluster_utils import Cluster

        sizes = {"num_cpus": 2, "object_store_memory": 80 * 2**20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=sizes)
        second = cluster.add_node(num_cpus=2, object_store_memory=80 * 2**20)
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster, second
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]


def process_of_one(actors: Iterable[Any]) -> int:
    """The process of whichever actor answers first."""
    (answered,), _ = ray.wait([actor.process.remote() for actor in actors], num_returns=1)
    number: int = ray.get(answered)
    return number


def test_an_actor_that_is_killed_and_a_node_that_stops_change_no_byte(cluster: Any, tmp_path: Path) -> None:
    from clpips.models.bulk.on_ray import RayExecutor

    image_files(tmp_path, IMAGES)
    targets, candidates = random_pairs(IMAGES, PAIRS)
    table = write_table(tmp_path / "pairs.parquet", target=targets, candidate=candidates)
    run_job(table, tmp_path / "here", shard_images=SHARD_IMAGES)
    asked = options(shard_images=SHARD_IMAGES)
    nodes, second = cluster
    out = tmp_path / "on-ray"
    executor = RayExecutor("auto", Worker, (str(out), asked), cpus=1, workers=4)  # two on each node
    done: list[str] = []

    def harm(progress: Progress) -> None:
        if progress.parts >= 3 and not done:
            os.kill(process_of_one(executor.actors.values()), signal.SIGKILL)
            done.append("actor")
        elif progress.parts >= 8 and done == ["actor"]:
            nodes.remove_node(second, allow_graceful=False)
            done.append("node")

    try:
        progress = run(Job(out), str(table), asked, asked.load_weights(), executor, None, harm)
    finally:
        executor.close()
    assert done == ["actor", "node"]
    assert progress.pairs == PAIRS
    assert parts(out) == parts(tmp_path / "here")


def test_a_cluster_that_is_not_there_is_said_in_a_line(tmp_path: Path) -> None:
    """In a process of its own: this one has a cluster."""
    import subprocess
    import sys

    table = write_table(tmp_path / "pairs.parquet", target=["a.png"], candidate=["b.png"])
    command = [sys.executable, "-m", "clpips", "score", str(table), "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, "--ray", "127.0.0.1:9"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no Ray cluster at '127.0.0.1:9'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("kind", ["OutOfMemoryError", "NodeDiedError"])
def test_an_actor_that_ray_ends_in_any_way_is_replaced(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from clpips.models.bulk import on_ray

    taken = ray.get
    raised: list[Exception] = []

    def get(reference: Any) -> Any:
        found = taken(reference)
        if isinstance(found, Outcome) and not raised:
            raised.append(getattr(ray.exceptions, kind)("the node has too little memory"))
            raise raised[0]
        return found

    monkeypatch.setattr(ray, "get", get)
    executor = on_ray.RayExecutor("auto", Worker, (str(tmp_path), options()), cpus=1, workers=1)
    ((_, outcome),) = executor.run([Task("describe")])
    executor.close()
    assert raised
    assert outcome.engine["engine"] == "onnx"


def test_relative_folders_are_those_of_who_asks(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image_files(tmp_path / "images", 3)
    write_table(tmp_path / "pairs.parquet", target=["0.png"], candidate=["1.png"])
    monkeypatch.chdir(tmp_path)  # the actors' is another
    arguments = [
        "--root",
        "images",
        "--out",
        "out",
        "--spill",
        "spill",
        "--resolution",
        "64",
        "--convolution",
        "direct",
    ]
    with pytest.raises(SystemExit, match="0"):
        main(["score", "pairs.parquet", *arguments, "--ray", "auto", "--worker-cpus", "1"])
    assert "1 row in 1 part, 0 with an error" in capsys.readouterr().out
    assert whole(tmp_path / "out")["distance"][0].as_py() > 0
