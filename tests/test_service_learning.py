"""When a profile learns: also what was kept and not learned by a process that is no more."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from clpips.models.fitting.job import FitResult
from clpips.models.metric.families import Z_LENGTH
from clpips.models.metric.weights_files import load_weights
from clpips.service.admission.access import OPEN
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import FitPostponed
from clpips.service.profiles.named_weights import ShippedWeights
from clpips.service.profiles.registry import Registry
from clpips.service.storage.database import Database
from clpips.service.storage.errors import ProfileMissingError, StorageError
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import NewVersion, Profile, TenantQuota
from clpips.service.teaching.fit_messages import Task
from clpips.service.teaching.fit_processes import FitWorkers
from clpips.service.teaching.learner import Learner
from tests.support.databases import BACKBONE, ranking, version
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


class SteppedFits(FitWorkers):
    """Fits that end one by one, when the test says so, each with weights that are taken."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.began = asyncio.Semaphore(0)
        self.may_end = asyncio.Semaphore(0)

    async def fit(self, task: Task) -> FitResult:
        self.tasks.append(task)
        self.began.release()
        await self.may_end.acquire()
        return FitResult(np.full(Z_LENGTH, len(self.tasks), np.float32), 256, True, "it agrees better", {})


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[ProfileStore]:
    database = Database(database_url)
    store = ProfileStore(database, TenantQuota(10, 10))
    await store.create("t", "ada", "lpips", BACKBONE, version())
    yield store
    await database.close()


def learner(store: ProfileStore, workers: FitWorkers) -> Learner:
    telemetry = Telemetry()
    registry = Registry(ShippedWeights.load(BACKBONE), store, BACKBONE, 2.0, 10, telemetry)
    return Learner(store, registry, workers, telemetry)


@pytest.mark.parametrize("change", ["forgotten", "replaced"])
async def test_a_fit_begins_again_when_a_ranking_goes_while_it_runs(store: ProfileStore, change: str) -> None:
    for comparison in ("one", "two"):
        profile = (await store.add_ranking("t", "ada", ranking(comparison=comparison))).profile
    workers = SteppedFits()
    learning = learner(store, workers)
    first = asyncio.create_task(learning.learn(profile))
    await workers.began.acquire()
    if change == "forgotten":
        left = await store.forget_ranking("t", "ada", 1)
    else:
        left = (await store.add_ranking("t", "ada", ranking(ranks=(3, 2, 1), comparison="one"))).profile
    second = asyncio.create_task(learning.learn(left))
    workers.may_end.release()  # what it learned from is no longer so
    await workers.began.acquire()
    assert (await store.find("t", "ada")).latest_version == 1
    workers.may_end.release()
    outcomes = await asyncio.gather(first, second)
    assert [task.last_ranking for task in workers.tasks] == [2, left.latest_ranking]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].profile.epoch == left.epoch
    kept = await store.version(profile.id, 2)
    assert (kept.weights[0], kept.superseded, outcomes[0].profile.current_version) == (2, False, 2)


async def test_who_waits_for_a_profile_that_is_deleted_and_made_anew_is_told_so(store: ProfileStore) -> None:
    gone = (await store.add_ranking("t", "ada", ranking())).profile
    await store.delete("t", "ada")
    await store.create("t", "ada", "lpips", BACKBONE, version())
    with pytest.raises(ProfileMissingError):
        await learner(store, SteppedFits()).learn(gone)


async def test_what_another_replica_made_of_the_rankings_is_told_with_its_reason(store: ProfileStore) -> None:
    profile = (await store.add_ranking("t", "ada", ranking())).profile
    await store.add_fitted(profile, None, "one target alone", taken=False, again=False)
    outcome = await learner(store, SteppedFits()).learn(profile)
    assert (outcome.version, outcome.reason, outcome.profile.waiting) == (None, "one target alone", "one target alone")


class BrokenStore(ProfileStore):
    """A database that is out of reach."""

    async def unlearned(self, backbone: str) -> list[Profile]:
        raise StorageError("gone")


async def test_catching_up_gives_up_where_the_database_is_out_of_reach(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/clpips.db"
    store, telemetry, workers = BrokenStore(Database(url), TenantQuota(1, 1)), Telemetry(), FitWorkers(1, url)
    registry = Registry(ShippedWeights.load(BACKBONE), store, BACKBONE, 2.0, 1, telemetry)
    await Learner(store, registry, workers, telemetry).catch_up(BACKBONE)
    assert "rankings not caught up" in capsys.readouterr().out


async def test_nobody_waits_for_ever_for_a_fit_and_it_goes_on_without_them(store: ProfileStore) -> None:
    fits, telemetry = SteppedFits(), Telemetry()
    registry = Registry(ShippedWeights.load(BACKBONE), store, BACKBONE, 2.0, 1, telemetry)
    learner = Learner(store, registry, fits, telemetry, patience_seconds=0.01)
    await store.create(OPEN.tenant, "eve", "lpips", BACKBONE, version())
    receipt = await store.add_ranking(OPEN.tenant, "eve", ranking(0))
    for wait in (learner.learn(receipt.profile), learner.refit(OPEN.tenant, "eve")):
        with pytest.raises(FitPostponed, match="goes on"):
            await wait
    async with asyncio.timeout(30):
        while not fits.tasks:  # noqa: ASYNC110 - the list tells nobody
            await asyncio.sleep(0)
    assert len(fits.tasks) == 1
    fits.may_end.release()
    while (await store.find(OPEN.tenant, "eve")).latest_version == 1:  # noqa: ASYNC110 - the store tells nobody
        await asyncio.sleep(0)
