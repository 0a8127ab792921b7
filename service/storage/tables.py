"""Tables, a class of rows each. What is kept counts: a ranking that no longer does is removed, not marked.

Every change of a profile holds the lock of its row, so numbers are given out in the order of the commits: whoever has
seen ranking n has seen all before it. What counts a tenant's profiles and rankings holds the tenant's row first.
"""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from clpips.models.metric.families import LAYOUTS
from clpips.models.metric.packing import fill_weights, trim_weights
from clpips.service.storage.records import (
    Change,
    Comparison,
    JudgedRanking,
    KeptRanking,
    Origin,
    Profile,
    Session,
    SessionOrder,
    Version,
    WeighedVersion,
)

NAME_LENGTH: Final = 128
WITH_CONTENT: Final = tuple(layout.length for layout in LAYOUTS.values())  # weights, where the content network counts
NAMING: Final = {  # of constraints, as the migrations write them
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, also in SQLite, which keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - as above
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value


class Row(DeclarativeBase):
    """What all tables share."""

    metadata = MetaData(naming_convention=NAMING)


def utc_now() -> datetime:
    """The time of day, the one clock that replicas share."""
    return datetime.now(UTC)


class TenantRow(Row):
    """Who owns profiles, with the counts that its quota is checked against."""

    __tablename__ = "tenants"

    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    profiles: Mapped[int] = mapped_column(Integer, default=0)
    rankings: Mapped[int] = mapped_column(Integer, default=0)


class ProfileRow(Row):
    """A `Profile`, whose fields say what the columns mean."""

    __tablename__ = "profiles"
    __table_args__ = (UniqueConstraint("tenant", "name"),)

    # An id is never used twice, so what other replicas hold of a deleted profile is never taken for its successor.
    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, default=uuid4)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"))
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    parent: Mapped[str] = mapped_column(String(NAME_LENGTH))
    backbone: Mapped[str] = mapped_column(String(64))
    base_version: Mapped[int] = mapped_column(Integer)
    current_version: Mapped[int] = mapped_column(Integer)
    latest_version: Mapped[int] = mapped_column(Integer)
    rankings: Mapped[int] = mapped_column(Integer)
    latest_ranking: Mapped[int] = mapped_column(Integer)
    fitted_ranking: Mapped[int] = mapped_column(Integer)
    waiting: Mapped[str | None] = mapped_column(Text)
    epoch: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    def record(self) -> Profile:
        return Profile(**_values(self, Profile))


class VersionRow(Row):
    """A `Version` of a profile, and its weights."""

    __tablename__ = "versions"

    profile_id: Mapped[UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    origin: Mapped[Origin] = mapped_column(String(16))
    taken: Mapped[bool]
    seen_ranking: Mapped[int] = mapped_column(Integer)  # made in the knowledge of the rankings up to this one
    replaced: Mapped[int | None]
    superseded: Mapped[bool] = mapped_column(default=False)
    resolution: Mapped[int | None]
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    weights: Mapped[bytes] = mapped_column(LargeBinary)  # float32, see `pack_weights`

    def record(self) -> Version:
        return Version(**_values(self, Version))

    def weighed(self) -> WeighedVersion:
        return WeighedVersion(**_values(self, WeighedVersion) | {"weights": unpack_weights(self.weights)})


class RankingRow(Row):
    """A `KeptRanking`: a person's order of candidates, as channel distances."""

    __tablename__ = "rankings"
    __table_args__ = (Index("ix_rankings_comparison", "profile_id", "comparison"),)

    profile_id: Mapped[UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    ranks: Mapped[list[int]] = mapped_column(JSON)  # (n,)
    rater: Mapped[str] = mapped_column(String(NAME_LENGTH))
    comparison: Mapped[str | None] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(64))
    candidates: Mapped[list[str]] = mapped_column(JSON)  # (n,)
    resolution: Mapped[int | None]
    guessed: Mapped[float] = mapped_column(Float)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    # Last: SQLite reads a row from its beginning, and what is asked for most must not lie behind the largest.
    channel_distances: Mapped[bytes] = mapped_column(LargeBinary)  # float16 (n, known)

    def judged(self) -> JudgedRanking:
        return JudgedRanking(**_values(self, JudgedRanking))

    def record(self) -> KeptRanking:
        unpacked = {"channel_distances": unpack_channel_distances(self.channel_distances, len(self.candidates))}
        return KeptRanking(**_values(self, KeptRanking) | unpacked)


class ComparisonRow(Row):
    """A `Comparison` of a recent `/rank`, so that any replica can take the person's order of it."""

    __tablename__ = "comparisons"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(NAME_LENGTH))
    target: Mapped[str] = mapped_column(String(64))
    candidates: Mapped[list[str]] = mapped_column(JSON)
    resolution: Mapped[int | None]
    backbone: Mapped[str] = mapped_column(String(64))
    masked: Mapped[bool]
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    channel_distances: Mapped[bytes] = mapped_column(LargeBinary)  # float16 (n, known)

    def record(self) -> Comparison:
        unpacked = {"channel_distances": unpack_channel_distances(self.channel_distances, len(self.candidates))}
        return Comparison(**_values(self, Comparison) | unpacked)


class SessionRow(Row):
    """A `Session`. Every change holds the lock of its row, and gives the session its next revision."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(NAME_LENGTH), index=True)
    key: Mapped[str] = mapped_column(String(NAME_LENGTH))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    token: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(Text)
    profile: Mapped[str] = mapped_column(String(NAME_LENGTH))
    profile_version: Mapped[int] = mapped_column(Integer)
    resolution: Mapped[int | None]
    backbone: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(64))
    candidates: Mapped[int] = mapped_column(Integer)
    revision: Mapped[int] = mapped_column(Integer)
    change: Mapped[Change] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    order: Mapped[dict[str, Any] | None] = mapped_column("said", JSON(none_as_null=True))
    mask: Mapped[str | None] = mapped_column(String(64))

    def record(self) -> Session:
        order = None if self.order is None else SessionOrder.from_column(self.order)
        return Session(**_values(self, Session) | {"order": order, "scopes": frozenset(self.scopes)})


class SessionMaskRow(Row):
    """The file of a session's mask, apart from its row: that is read with each look at the session."""

    __tablename__ = "session_masks"

    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class SessionCandidateRow(Row):
    """A `SessionCandidate`, by its index."""

    __tablename__ = "session_candidates"

    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column("place", Integer, primary_key=True)
    image: Mapped[str] = mapped_column(String(64))
    prompt: Mapped[str | None] = mapped_column(Text)
    step: Mapped[int | None]
    channel_distances: Mapped[bytes] = mapped_column(LargeBinary)  # float16 (known,)


def _values(row: Row, record: type[Any]) -> dict[str, Any]:
    """The columns of a row that a record has too."""
    return {field.name: getattr(row, field.name) for field in fields(record)}


def pack_weights(weights: NDArray[np.float32]) -> bytes:
    """Weights `(6016,)` as a column keeps them: those of AlexNet's families alone where no other's count."""
    return trim_weights(weights).astype("<f4").tobytes()


def unpack_weights(content: bytes) -> NDArray[np.float32]:
    """The weights of a column, `(6016,)`. Raises `ValueError` where it holds another number of them."""
    return fill_weights(np.frombuffer(content, "<f4").astype(np.float32, copy=False))


def pack_channel_distances(channel_distances: NDArray[np.float16]) -> bytes:
    """Packed channel distances `(n, known)` as a column keeps them."""
    return channel_distances.astype("<f2").tobytes()


def unpack_channel_distances(content: bytes, candidates: int) -> NDArray[np.float16]:
    """The packed channel distances of a column, `(n, known)`, of so many candidates."""
    return np.frombuffer(content, "<f2").reshape(candidates, -1)


def to_json(value: Any) -> str:
    """JSON as a column keeps it; null where a number is NaN, which JSON has no word for."""
    return msgspec.json.encode(value).decode()
