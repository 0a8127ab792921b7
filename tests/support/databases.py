"""Databases for tests: an SQLite file each, and one of its own on the PostgreSQL server that the environment names."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from clpips.models.metric.backbone import SHIPPED_FINGERPRINT
from clpips.models.metric.families import Z_LENGTH
from clpips.service.storage.database import Database
from clpips.service.storage.records import NewRanking, NewVersion, Session
from tests.support.clocks import NOW

SERVER = os.environ.get("CLPIPS_TEST_DATABASE_URL")
BACKBONE = SHIPPED_FINGERPRINT
KINDS = [
    "sqlite",
    pytest.param(
        "postgresql",
        marks=pytest.mark.skipif(
            SERVER is None,
            reason="needs a PostgreSQL server: CLPIPS_TEST_DATABASE_URL=postgresql://user@host/database of a user who "
            "may create databases",
        ),
    ),
]
SESSION = Session(
    id="one",
    tenant="studio",
    key="ada",
    scopes=frozenset({"score", "teach"}),
    token="f" * 64,
    title="Red, <b>bold</b>",
    profile="lpips",
    profile_version=1,
    resolution=None,
    backbone=BACKBONE,
    target="0" * 64,
    candidates=0,
    revision=1,
    change="created",
    created_at=NOW,
    expires_at=NOW + timedelta(days=1),
    order=None,
)


@contextmanager
def fresh_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty, migrated database of this kind."""
    if kind == "sqlite":
        yield _migrated(f"sqlite:///{folder}/clpips.db")
        return
    assert SERVER is not None
    name = f"clpips_test_{uuid4().hex}"
    _administer(f'CREATE DATABASE "{name}"')
    try:
        yield _migrated(make_url(SERVER).set(database=name).render_as_string(hide_password=False))
    finally:
        _administer(f'DROP DATABASE "{name}" WITH (FORCE)')


def _migrated(url: str) -> str:
    async def run() -> None:
        database = Database(url)
        await database.migrate()
        await database.close()

    asyncio.run(run())
    return url


def _administer(statement: str) -> None:
    async def run() -> None:
        url = make_url(SERVER or "").set(drivername="postgresql+asyncpg")
        engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(statement))
        await engine.dispose()

    asyncio.run(run())


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


def version(value: float = 1.0) -> NewVersion:
    """A version whose weights are all `value`."""
    return NewVersion(np.full(Z_LENGTH, value, np.float32), "fitted", 256, {"value": value})


def distances(seed: int, candidates: int = 3) -> NDArray[np.float16]:
    return np.random.default_rng(seed).random((candidates, Z_LENGTH)).astype(np.float16)


def ranking(
    seed: int = 0, ranks: tuple[int, ...] = (1, 2, 3), comparison: str | None = None, guessed: float = 0.5
) -> NewRanking:
    """A ranking of made-up candidates."""
    candidates = [f"{seed:032x}{index:032x}" for index in range(len(ranks))]
    return NewRanking(
        channel_distances=distances(seed, len(ranks)),
        ranks=ranks,
        rater="",
        comparison=comparison,
        target=f"{seed:064x}",
        candidates=candidates,
        resolution=256,
        guessed=guessed,
    )
