"""When a profile learns: also what was kept and not learned by a process that is no more."""

import asyncio
import time

import pytest

from clpips.models.metric.weights_files import load_weights
from clpips.service.admission.access import OPEN
from clpips.service.ops.telemetry import Telemetry
from clpips.service.profiles.named_weights import ShippedWeights
from clpips.service.profiles.registry import Registry
from clpips.service.storage.database import Database
from clpips.service.storage.errors import StorageError
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import NewVersion, Profile, TenantQuota
from clpips.service.teaching.fit_processes import FitWorkers
from clpips.service.teaching.learner import Learner
from tests.support.databases import BACKBONE, ranking
from tests.support.services import serving


async def leave_behind(url: str, backbone: str) -> None:
    """A profile with two rankings that no fit has seen, as a killed process leaves it."""
    database = Database(url)
    store = ProfileStore(database, TenantQuota(10, 10))
    await store.create(
        OPEN.tenant, "ada", "lpips", backbone, NewVersion(load_weights("lpips").values, "created", 256, {})
    )
    for seed in range(2):
        await store.add_ranking(OPEN.tenant, "ada", ranking(seed))
    await database.close()


def test_what_a_killed_process_kept_and_did_not_learn_is_learned_at_the_next_start(database_url: str) -> None:
    asyncio.run(leave_behind(database_url, BACKBONE))
    with serving(database_url=database_url) as client:
        while (ada := client.get("/profiles/ada").json())["unlearned"]:
            time.sleep(0.02)
        assert ada["rankings"] == 2
        assert [one["origin"] for one in ada["versions"]] == ["fitted", "created"]
        text = client.get("/metrics").text
        assert 'clpips_fits_total{outcome="taken"} 1.0' in text or 'clpips_fits_total{outcome="proposed"} 1.0' in text


def test_rankings_of_another_backbone_are_left_alone(database_url: str) -> None:
    asyncio.run(leave_behind(database_url, "f" * 64))
    with serving(database_url=database_url) as client:
        client.post("/profiles", json={"name": "grace"})
        assert client.get("/profiles/ada").json()["unlearned"] == 2


class BrokenStore(ProfileStore):
    """A database that is out of reach."""

    async def unlearned(self, backbone: str) -> list[Profile]:
        raise StorageError("gone")


async def test_catching_up_gives_up_where_the_database_is_out_of_reach(capsys: pytest.CaptureFixture[str]) -> None:
    url = "sqlite:///:memory:"
    store, telemetry, workers = BrokenStore(Database(url), TenantQuota(1, 1)), Telemetry(), FitWorkers(1, url)
    registry = Registry(ShippedWeights.load(BACKBONE), store, BACKBONE, 2.0, 1, telemetry)
    await Learner(store, registry, workers, telemetry).catch_up(BACKBONE)
    assert "rankings not caught up" in capsys.readouterr().out
