"""Additions: candidates of any number of sessions, kept in one transaction.

The sessions' rows are locked first, in the order of their ids, so that replicas that add to the same ones wait for each
other and never in a circle. What each adds is then known, and written with one statement for all.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import Connection, Row, Table, bindparam, insert, select, update

from clpips.service.storage.errors import SessionFullError, SessionMissingError
from clpips.service.storage.records import Session, SessionCandidate, SessionOrder
from clpips.service.storage.tables import SessionCandidateRow, SessionRow, pack_channel_distances

# Columns, not mapped rows: a session is read and written once a candidate, and the unit of work costs as much again.
SESSIONS: Final = cast("Table", SessionRow.__table__)
CANDIDATES: Final = cast("Table", SessionCandidateRow.__table__)

# Statements are made once: to make one costs as much as to have it run.
_LOCK: Final = (
    select(SESSIONS)
    .where(SESSIONS.c.id.in_(bindparam("names", expanding=True)), SESSIONS.c.expires_at > bindparam("now"))
    .order_by(SESSIONS.c.id)
    .with_for_update()
)
_ARRIVED: Final = select(CANDIDATES.c.image).where(
    CANDIDATES.c.session_id == bindparam("name"), CANDIDATES.c.place >= bindparam("since")
)
_ADVANCE: Final = (
    update(SESSIONS)
    .where(SESSIONS.c.id == bindparam("name"))
    .values(candidates=bindparam("count"), revision=bindparam("number"), change="candidates")
)
_KEEP: Final = insert(CANDIDATES)


class Addition(NamedTuple):
    """Candidates to be added to a session, whose indices say their order alone.

    With `since`, an index, images that have come at it or later are not added again, each as often as it has come.
    """

    name: str  # the session's id
    candidates: Sequence[SessionCandidate]
    since: int | None = None


class Added(NamedTuple):
    """A session once candidates were added to it, and those of them that had not come before, with their indices."""

    session: Session
    candidates: Sequence[SessionCandidate]


def add_together(
    connection: Connection, additions: Sequence[Addition], now: datetime, most: int
) -> list[Added | Exception]:
    """Add candidates to sessions, one addition after the other, within the connection's transaction.

    For each it returns what came of it, or `SessionMissingError`, or `SessionFullError` where the session would have
    more than `most`; then none of it is kept.
    """
    names = list({one.name for one in additions})
    rows = connection.execute(_LOCK, {"names": names, "now": now})
    sessions = {row.id: session_of(row) for row in rows}
    new: dict[str, list[SessionCandidate]] = {}
    outcomes: list[Added | Exception] = []
    for one in additions:
        session = sessions.get(one.name)
        if session is None:
            outcomes.append(SessionMissingError(one.name))
            continue
        before = new.get(one.name, ())
        missing = list(one.candidates) if one.since is None else _missing(connection, one, session, before)
        if session.candidates + len(missing) > most:
            outcomes.append(SessionFullError(session.candidates, most))
            continue
        placed = [replace(candidate, index=index) for index, candidate in enumerate(missing, session.candidates)]
        if placed:
            new[one.name] = [*before, *placed]
            session = sessions[one.name] = replace(
                session,
                candidates=session.candidates + len(placed),
                revision=session.revision + 1,
                change="candidates",
            )
        outcomes.append(Added(session, placed))
    if new:
        _write(connection, [sessions[name] for name in new], new)
    return outcomes


def _missing(
    connection: Connection, addition: Addition, session: Session, before: Sequence[SessionCandidate]
) -> list[SessionCandidate]:
    """The candidates that have not come since; `before` are those that this transaction adds, and has not written."""
    assert addition.since is not None  # noqa: S101 - whoever asks has looked
    arrived = Counter(one.image for one in before if one.index >= addition.since)
    if session.candidates - len(before) > addition.since:
        asked = {"name": addition.name, "since": addition.since}
        arrived.update(connection.execute(_ARRIVED, asked).scalars())
    missing = []
    for candidate in addition.candidates:
        if arrived[candidate.image] > 0:
            arrived[candidate.image] -= 1
        else:
            missing.append(candidate)
    return missing


def _write(connection: Connection, sessions: Sequence[Session], new: dict[str, list[SessionCandidate]]) -> None:
    connection.execute(
        _ADVANCE, [{"name": one.id, "count": one.candidates, "number": one.revision} for one in sessions]
    )
    connection.execute(
        _KEEP,
        [
            {
                "session_id": name,
                "place": one.index,
                "image": one.image,
                "prompt": one.prompt,
                "step": one.step,
                "channel_distances": pack_channel_distances(one.channel_distances),
            }
            for name, candidates in new.items()
            for one in candidates
        ],
    )


def session_of(row: Row[Any]) -> Session:
    """The record of a row of all columns."""
    columns = dict(row._mapping)
    said = columns.pop("said")
    columns["scopes"] = frozenset(columns["scopes"])
    return Session(**columns, order=None if said is None else SessionOrder.from_column(said))
