"""Profiles in memory: read anew when they are old enough to have changed, and not lost with the database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clpips.models.metric.backbone import SHIPPED_FINGERPRINT
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import BackboneMismatch, UnknownProfile
from clpips.service.profiles.named_weights import ShippedWeights
from clpips.service.profiles.registry import Registry
from clpips.service.storage.database import Database
from clpips.service.storage.errors import StorageError
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import Profile, TenantQuota
from tests.support.databases import ranking, version
from tests.test_service_comparisons import Clock


class Shelf(ProfileStore):
    """A store that counts what it is asked, can be out of reach, and can lose a profile to somebody who deletes it."""

    asked = 0
    gone = False
    deletes = False

    async def find(self, tenant: str, name: str) -> Profile:
        self.asked += 1
        if self.gone:
            raise StorageError("connection refused")
        found = await super().find(tenant, name)
        if self.deletes:
            await self.delete(tenant, name)
        return found


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    database = Database(f"sqlite:///{tmp_path}/clpips.db")
    await database.migrate()
    shelf = Shelf(database, TenantQuota(100, 100))
    await shelf.create("t", "ada", "lpips", SHIPPED_FINGERPRINT, version(1))
    yield shelf
    await database.close()


def registry(shelf: Shelf, clock: Clock, capacity: int = 10) -> Registry:
    shipped = ShippedWeights.load(SHIPPED_FINGERPRINT)
    return Registry(shipped, shelf, SHIPPED_FINGERPRINT, 2.0, capacity, Telemetry(), clock)


async def teach(shelf: Shelf, value: float) -> None:
    """What another replica does."""
    receipt = await shelf.add_ranking("t", "ada", ranking(int(value)))
    await shelf.add_fitted(receipt.profile, version(value), "so", taken=True, again=False)


async def test_a_profile_is_read_once_and_then_held(shelf: Shelf) -> None:
    held = registry(shelf, Clock())
    profiles = await asyncio.gather(*(held.resolve("t", "ada") for _ in range(20)))
    await held.resolve("t", "ada")
    assert {profile.info.version for profile in profiles} == {1}
    assert shelf.asked == 1


async def test_a_version_of_another_replica_is_used_after_the_refresh_time_at_the_latest(shelf: Shelf) -> None:
    clock = Clock()
    held = registry(shelf, clock)
    await held.resolve("t", "ada")
    await teach(shelf, 2)
    clock.now = 1.99
    assert (await held.resolve("t", "ada")).info.version == 1
    clock.now = 2.0
    profile = await held.resolve("t", "ada")
    assert (profile.info.version, profile.weights.values[0]) == (2, 2.0)


async def test_what_changed_here_is_used_at_once(shelf: Shelf) -> None:
    held = registry(shelf, Clock())
    await held.resolve("t", "ada")
    await teach(shelf, 2)
    held.forget("t", "ada")
    assert (await held.resolve("t", "ada")).info.version == 2


async def test_held_weights_serve_on_while_the_database_is_away(shelf: Shelf) -> None:
    clock = Clock()
    held = registry(shelf, clock)
    await held.resolve("t", "ada")
    shelf.gone = True
    clock.now = 100.0
    assert (await held.resolve("t", "ada")).info.version == 1
    with pytest.raises(StorageError):
        await held.resolve("t", "bob")


async def test_a_deleted_profile_is_gone_after_the_refresh_time(shelf: Shelf) -> None:
    clock = Clock()
    held = registry(shelf, clock)
    await held.resolve("t", "ada")
    await shelf.delete("t", "ada")
    clock.now = 2.0
    with pytest.raises(UnknownProfile):
        await held.resolve("t", "ada")


async def test_a_profile_deleted_in_the_middle_of_being_read_is_unknown(shelf: Shelf) -> None:
    shelf.deletes = True
    with pytest.raises(UnknownProfile):
        await registry(shelf, Clock()).resolve("t", "ada")


async def test_the_least_recently_used_leaves_when_the_memory_is_full(shelf: Shelf) -> None:
    for name in ("bob", "carl"):
        await shelf.create("t", name, "lpips", SHIPPED_FINGERPRINT, version(1))
    held = registry(shelf, Clock(), capacity=2)
    for name in ("ada", "bob", "ada", "carl", "ada"):
        await held.resolve("t", name)
    assert shelf.asked == 3
    await held.resolve("t", "bob")
    assert shelf.asked == 4


async def test_a_profile_of_another_backbone_is_refused(shelf: Shelf) -> None:
    await shelf.create("t", "old", "lpips", "0" * 64, version(1))
    with pytest.raises(BackboneMismatch, match="the profile 'old' belongs to the backbone 000000000000…"):
        await registry(shelf, Clock()).resolve("t", "old")


async def test_shipped_weights_need_no_database(shelf: Shelf) -> None:
    shelf.gone = True
    assert (await registry(shelf, Clock()).resolve("anybody", "lpips")).info.name == "lpips"
