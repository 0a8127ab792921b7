"""Transactions on refinement sessions. Every method is one, and needs nothing but what it is given.

A session is found by its id together with its tenant, or with its token: what belongs to somebody else is not read, so
that the answer about it comes as fast as that about a session that never was.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy import and_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from clpips.service.storage.breaker import Breaker, operation
from clpips.service.storage.database import Database
from clpips.service.storage.errors import QuotaReachedError, SessionMissingError
from clpips.service.storage.group_commit import GroupCommit
from clpips.service.storage.profiles import lock_tenant
from clpips.service.storage.records import Change, Revision, Session, SessionCandidate, SessionOrder
from clpips.service.storage.session_additions import (
    CANDIDATES,
    SESSIONS,
    Added,
    Addition,
    add_together,
    session_of,
)
from clpips.service.storage.tables import (
    ProfileRow,
    SessionCandidateRow,
    SessionMaskRow,
    SessionRow,
    unpack_channel_distances,
    utc_now,
)

ID: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


class SessionStore:
    """The sessions of one database: at most so many of a tenant's, and of a session's candidates."""

    def __init__(
        self, database: Database, most_sessions: int, most_candidates: int, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.most_candidates = most_candidates
        self._most_sessions = most_sessions
        self._database = database
        self._clock = clock
        self._additions = GroupCommit(self._add_together)

    @property
    def breaker(self) -> Breaker:
        """What its operations go through."""
        return self._database.breaker

    @operation
    async def create_session(self, new: Session, mask: bytes | None = None) -> None:
        """Keep a new session, and the file of its mask where it has one. Raises `QuotaReachedError`."""
        async with self._database.write() as session:
            await lock_tenant(session, new.tenant)
            own = and_(SessionRow.tenant == new.tenant, self._is_alive())
            kept = await session.scalar(select(func.count()).select_from(SessionRow).where(own)) or 0
            if kept >= self._most_sessions:
                raise QuotaReachedError(kept, "sessions")
            session.add(
                SessionRow(
                    id=new.id,
                    tenant=new.tenant,
                    key=new.key,
                    scopes=sorted(new.scopes),
                    token=new.token,
                    title=new.title,
                    profile=new.profile,
                    profile_version=new.profile_version,
                    resolution=new.resolution,
                    backbone=new.backbone,
                    target=new.target,
                    candidates=0,
                    revision=new.revision,
                    change=new.change,
                    created_at=new.created_at,
                    expires_at=new.expires_at,
                    order=None,
                    mask=new.mask,
                )
            )
            if mask is not None:
                await session.flush()  # nothing tells the mapper that the session's row goes first
                session.add(SessionMaskRow(session_id=new.id, content=mask))

    @operation
    async def find_session(self, name: str, *, tenant: str | None = None, token: str | None = None) -> Session:
        """The session of this id that a tenant has, or that a token, by its sha256, opens.

        Give one of the two, unless whoever asks has been let in before. Raises `SessionMissingError`.
        """
        if not ID.fullmatch(name):  # no database has to be asked, and PostgreSQL would refuse a NUL with an error
            raise SessionMissingError(name)
        own = [SessionRow.id == name, self._is_alive()]
        if tenant is not None:
            own.append(SessionRow.tenant == tenant)
        if token is not None:
            own.append(SessionRow.token == token)
        async with self._database.read() as session:
            row = await session.scalar(select(SessionRow).where(*own))
        if row is None:
            raise SessionMissingError(name)
        return row.record()

    @operation
    async def read_session(self, name: str, held: int = 0) -> tuple[Session, Sequence[SessionCandidate]]:
        """A session as it is now, with its candidates by index, less the first so many.

        Raises `SessionMissingError`.
        """
        async with self._database.read() as session:
            row = (await session.execute(select(SESSIONS).where(SESSIONS.c.id == name, self._is_alive()))).first()
            if row is None:
                raise SessionMissingError(name)
            now = session_of(row)
            return now, await _candidates(session, name, held, now.candidates) if held < now.candidates else []

    @operation
    async def candidates_between(self, name: str, start: int, end: int) -> Sequence[SessionCandidate]:
        """The candidates of a session whose index is at least `start` and less than `end`."""
        async with self._database.read() as session:
            return await _candidates(session, name, start, end)

    @operation
    async def image_of(self, name: str, index: int) -> str | None:
        """The sha256 of a candidate, if the session has it."""
        async with self._database.read() as session:
            own = (SessionCandidateRow.session_id == name, SessionCandidateRow.index == index)
            image: str | None = await session.scalar(select(SessionCandidateRow.image).where(*own))
            return image

    @operation
    async def mask_of(self, name: str) -> bytes:
        """The file of a session's mask. Raises `SessionMissingError` where there is none, or no such session."""
        async with self._database.read() as session:
            content: bytes | None = await session.scalar(
                select(SessionMaskRow.content).where(SessionMaskRow.session_id == name)
            )
        if content is None:
            raise SessionMissingError(name)
        return content

    @operation
    async def add_candidates(self, name: str, added: Sequence[SessionCandidate], since: int | None = None) -> Added:
        """Add candidates, whose indices are given out here: those that they bring say their order alone.

        With `since`, an index, images that have come at it or later are not added again, each as often as it has come:
        a request whose answer was lost may then be sent again. Raises `SessionMissingError`, or `SessionFullError`,
        and then none is kept. Additions that wait at the same time share a transaction.
        """
        return await self._additions.add(Addition(name, added, since))

    async def _add_together(self, additions: Sequence[Addition]) -> Sequence[Added | Exception]:
        add = partial(add_together, additions=additions, now=self._clock(), most=self.most_candidates)
        return await self._database.write_at_once(add)

    @operation
    async def keep_order(self, name: str, order: SessionOrder | None) -> Session:
        """Keep what a person says of the candidates, in place of what they said before.

        Raises `SessionMissingError`.
        """
        async with self._database.write() as session:
            row = await self._locked(session, name)
            row.order = None if order is None else order.to_column()
            _advance(row, "order")
            return row.record()

    @operation
    async def note_version(self, name: str, version: int) -> Session:
        """Note the version of its profile that is in use: a change where it is another.

        Raises `SessionMissingError`.
        """
        async with self._database.write() as session:
            row = await self._locked(session, name)
            if row.profile_version != version:
                row.profile_version = version
                _advance(row, "profile")
            return row.record()

    @operation
    async def delete_session(self, name: str) -> None:
        """Remove a session with its candidates. Raises `SessionMissingError`."""
        async with self._database.write() as session:
            await self._locked(session, name)
            await session.execute(delete(SessionRow).where(SessionRow.id == name))

    @operation
    async def revisions(self, names: Collection[str]) -> tuple[Mapping[str, Revision], Mapping[str, int]]:
        """How far these sessions have come; those that are gone are left out.

        With it come those whose profile has another version in use than they know: that version.
        """
        columns = (SessionRow.id, SessionRow.revision, SessionRow.change, SessionRow.profile_version)
        used = and_(ProfileRow.tenant == SessionRow.tenant, ProfileRow.name == SessionRow.profile)
        chosen = select(*columns, ProfileRow.current_version).join(ProfileRow, used, isouter=True)
        async with self._database.read() as session:
            rows = (await session.execute(chosen.where(SessionRow.id.in_(names), self._is_alive()))).all()
        found = {name: Revision(revision, change) for name, revision, change, _, _ in rows}
        return found, {name: now for name, _, _, known, now in rows if now is not None and now != known}

    @operation
    async def count_sessions(self) -> int:
        """Remove those that have expired; how many there are. Replicas that do so at once do no harm."""
        now = self._clock()
        expired = select(SessionRow.id).where(SessionRow.expires_at <= now)
        async with self._database.read() as session:
            gone = (await session.scalars(expired)).all()
        if gone:
            async with self._database.write() as session:
                await session.execute(delete(SessionRow).where(SessionRow.id.in_(gone)))
        async with self._database.read() as session:
            return await session.scalar(select(func.count()).select_from(SessionRow)) or 0

    def _is_alive(self) -> ColumnElement[bool]:
        return SESSIONS.c.expires_at > self._clock()

    async def _locked(self, session: AsyncSession, name: str) -> SessionRow:
        """The session's row, locked. Raises `SessionMissingError`."""
        asked = select(SessionRow).where(SessionRow.id == name, self._is_alive()).with_for_update()
        row: SessionRow | None = await session.scalar(asked)
        if row is None:
            raise SessionMissingError(name)
        return row


async def _candidates(session: AsyncSession, name: str, start: int, end: int) -> list[SessionCandidate]:
    own = CANDIDATES.c
    columns = (own.place, own.image, own.prompt, own.step, own.channel_distances)
    chosen = select(*columns).where(own.session_id == name, own.place >= start, own.place < end).order_by(own.place)
    return [
        SessionCandidate(index, image, prompt, step, unpack_channel_distances(z, 1)[0])
        for index, image, prompt, step, z in await session.execute(chosen)
    ]


def _advance(row: SessionRow, change: Change) -> None:
    row.revision += 1
    row.change = change
