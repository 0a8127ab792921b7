"""Publish/subscribe: who watches a session is told of its changes, whichever replica makes them.

A change that is made here is told at once. Those of other replicas are found by polling: one query for all sessions
that are watched, and none while nobody watches. So no watcher holds a connection to the database, and it works with
every database alike.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

import structlog

from clpips.service.problems import NotReady, Overloaded
from clpips.service.storage.errors import SessionMissingError, StorageError
from clpips.service.storage.records import Revision, Session
from clpips.service.storage.sessions import SessionStore

POLL_SECONDS: Final = 0.5
MOST_OF_ONE: Final = 20  # that watch one session
HEARTBEAT_SECONDS: Final = 15.0
LONGEST_SECONDS: Final = 600.0  # after which a watcher comes again: one that has vanished does not
RETRY_SECONDS: Final = 5

log = structlog.get_logger()


class Sign(Enum):
    """What a watcher is told beside revisions."""

    HEARTBEAT = "heartbeat"  # nothing has come for a while
    DELETED = "deleted"  # the session is gone


class Watcher:
    """Somebody who watches a session."""

    def __init__(self, session: Session) -> None:
        self.session = session.id
        self.latest = Revision(session.revision, session.change)
        self._gone = False
        self._dismissed = False
        self._changed = asyncio.Event()

    def tell(self, revision: Revision | None) -> None:
        """Tell how far the session has come; None says that it is gone. What comes late is passed over."""
        if revision is None:
            self._gone = True
        elif revision.number > self.latest.number:
            self.latest = revision
        else:
            return
        self._changed.set()

    def dismiss(self) -> None:
        """End the watch: the service stops."""
        self._dismissed = True
        self._changed.set()

    async def told(
        self, after: int, heartbeat_seconds: float = HEARTBEAT_SECONDS, longest_seconds: float = LONGEST_SECONDS
    ) -> AsyncIterator[Revision | Sign]:
        """The newest revision, whenever it is another than the last: than number `after`, to begin with.

        It ends when the session is gone, the service stops, or after `longest_seconds`.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + longest_seconds
        while not self._dismissed and clock() < end:
            self._changed.clear()
            if self._gone:
                yield Sign.DELETED
                return
            if self.latest.number != after:
                after = self.latest.number
                yield self.latest
                continue
            try:
                await asyncio.wait_for(self._changed.wait(), min(heartbeat_seconds, max(end - clock(), 0.0)))
            except TimeoutError:
                yield Sign.HEARTBEAT


class Streams:
    """All who watch sessions here: at most `most` at a time."""

    def __init__(
        self,
        store: SessionStore,
        most: int,
        is_stopping: Callable[[], bool],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._store = store
        self._most = most
        self._is_stopping = is_stopping
        self._poll_seconds = poll_seconds
        self._watchers: dict[str, set[Watcher]] = {}
        self._poller: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return sum(map(len, self._watchers.values()))

    def require_room(self, session: str) -> None:
        """Raise `NotReady` while the service stops, or `Overloaded` where as many watch as may."""
        if self._is_stopping():
            raise NotReady("the service is stopping; watch another replica", headers={"Connection": "close"})
        if len(self) >= self._most or len(self._watchers.get(session, ())) >= MOST_OF_ONE:
            raise Overloaded(
                f"as many watch sessions as may; try again in {RETRY_SECONDS} s",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )

    @contextmanager
    def watch(self, session: Session) -> Iterator[Watcher]:
        """Watch a session until the context ends. Raises what `require_room` does."""
        self.require_room(session.id)
        watcher = Watcher(session)
        self._watchers.setdefault(session.id, set()).add(watcher)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            yield watcher
        finally:
            others = self._watchers[session.id]
            others.discard(watcher)
            if not others:
                del self._watchers[session.id]

    def publish(self, session: Session) -> None:
        """Tell all who watch a session here how far it has come."""
        self._tell(session.id, Revision(session.revision, session.change))

    def end(self, session: str) -> None:
        """Tell all who watch a session here that it is gone."""
        self._tell(session, None)

    async def close(self) -> None:
        """Dismiss everybody, and ask the database no more."""
        self._dismiss()
        if (poller := self._poller) is not None:
            poller.cancel()
            await asyncio.wait([poller])

    def _tell(self, session: str, revision: Revision | None) -> None:
        for watcher in self._watchers.get(session, ()):
            watcher.tell(revision)

    def _dismiss(self) -> None:
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.dismiss()

    async def _poll(self) -> None:
        """Look for changes of other replicas for as long as somebody watches, and for the service's end."""
        try:
            while self._watchers:
                if self._is_stopping():
                    self._dismiss()
                    return
                await self._look()
                await asyncio.sleep(self._poll_seconds)
        finally:
            self._poller = None

    async def _look(self) -> None:
        names = list(self._watchers)
        try:
            found, versions = await self._store.revisions(names)
            for name in names:
                self._tell(name, found.get(name))
            for name, version in versions.items():
                try:
                    self.publish(await self._store.note_version(name, version))
                except SessionMissingError:
                    self.end(name)
        except StorageError as error:
            log.warning("sessions not looked at", reason=str(error))
