"""A database that fails under a running service: what needs none goes on, and nothing is acknowledged and lost."""

import json
from pathlib import Path
from typing import Final

from loadtest.hostile.case import Case, Suite, expect
from loadtest.hostile.service import Service
from loadtest.kit.client import Body, rank_body
from loadtest.kit.contenders import LOGS
from loadtest.kit.pictures import Pictures

PICTURES: Final = [next(pictures) for pictures in [Pictures(64, "png")] for _ in range(3)]


def _json(path: str, value: object) -> Body:
    return Body(path, json.dumps(value).encode(), "application/json")


def _file(service: Service) -> Path:
    return LOGS / f"{service.name}.db"


async def _scores(service: Service) -> None:
    reply = await service.send(rank_body(PICTURES[0], PICTURES[1:]))
    expect(reply.status == 200, f"/rank by LPIPS is {reply.status}: {reply.content[:200]!r}")


async def deleted(service: Service) -> None:
    """The file goes: changes are 503, scoring goes on, no empty file is made in its place."""
    made = await service.send(_json("/profiles", {"name": "before"}))
    expect(made.status == 201, f"a profile could not be made: {made.status}")
    for suffix in ("", "-wal", "-shm"):
        _file(service).with_name(_file(service).name + suffix).unlink(missing_ok=True)
    for number in range(3):
        reply = await service.send(_json("/profiles", {"name": f"n{number}"}))
        expect(reply.status == 503, f"a change that went into a deleted file is {reply.status}")
        await _scores(service)
    expect(not _file(service).exists(), "an empty database stands in its place")


async def up(service: Service) -> None:
    """The metric says what is."""
    text = (await service.get("/metrics")).content.decode()
    expect("clpips_db_up 0.0" in text, "clpips_db_up does not say that the database is away")


SUITE: Final = Suite("database", [Case("the file is deleted", deleted), Case("it is seen in the metrics", up)])
