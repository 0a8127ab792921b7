"""Connections to SQLite whose user has gone: each is closed, and its thread ends without a word."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from clpips.service.storage import sqlite_driver


async def test_a_connection_that_is_given_up_while_it_closes_is_closed_all_the_same(tmp_path: Path) -> None:
    connection = await sqlite_driver.connect(str(tmp_path / "some.db"))
    closing_it = asyncio.create_task(connection.close())
    await asyncio.sleep(0)  # it has asked its thread to close
    connection.stop()  # as SQLAlchemy does where an operation is cancelled meanwhile

    async with asyncio.timeout(10):
        await closing_it


def test_a_thread_whose_event_loop_has_ended_closes_its_connection_and_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failed: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go_on.wait(10)

    async def give_up() -> Any:
        connection: Any = await sqlite_driver.connect(str(tmp_path / "some.db"))
        asking = asyncio.create_task(connection._execute(wait))
        await asyncio.to_thread(begun.wait, 10)
        asking.cancel()
        connection.stop()
        return connection

    connection = asyncio.run(give_up())
    go_on.set()
    connection._thread.join(10)
    assert not connection._thread.is_alive()
    assert connection._connection is None
    assert failed == []


async def test_what_is_opened_for_somebody_who_has_gone_is_closed(tmp_path: Path) -> None:
    go_on, closed = threading.Event(), threading.Event()

    class Slow(sqlite3.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            go_on.wait(10)
            super().__init__(*arguments, **options)

        def close(self) -> None:
            closed.set()
            super().close()

    connection = sqlite_driver.connect(str(tmp_path / "some.db"), factory=Slow)

    async def open_it() -> None:
        await connection

    opening = asyncio.create_task(open_it())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    go_on.set()
    await asyncio.to_thread(connection._thread.join, 10)
    assert closed.is_set()
