"""The tables. Versions and rankings are only ever added; what changes is the row of their profile.

Every change of a profile holds the lock of its row, so numbers are given out in the order of the commits: whoever has
seen ranking n has seen all before it. What counts a tenant's profiles and rankings holds the tenant's row first.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from advanced_alchemy.base import DefaultBase
from advanced_alchemy.types import GUID, DateTimeUTC
from sqlalchemy import JSON, ForeignKey, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

NAME_LENGTH = 128


def _now() -> datetime:
    return datetime.now(UTC)


class Tenant(DefaultBase):
    """Who owns profiles, with the counts that its limits are checked against."""

    __tablename__ = "tenants"

    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    profiles: Mapped[int] = mapped_column(Integer, default=0)
    rankings: Mapped[int] = mapped_column(Integer, default=0)


class Profile(DefaultBase):
    """A person's, team's or task's weights: which of its versions is in use, and what counts for the next."""

    __tablename__ = "profiles"
    __table_args__ = (UniqueConstraint("tenant", "name"),)

    # An id is never used twice, so what other replicas hold of a deleted profile is never taken for its successor.
    id: Mapped[UUID] = mapped_column(GUID, primary_key=True, default=uuid4)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenants.name"))
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    parent: Mapped[str] = mapped_column(String(NAME_LENGTH))  # whose weights it began with
    backbone: Mapped[str] = mapped_column(String(64))  # the fingerprint that its weights and rankings belong to
    base_version: Mapped[int] = mapped_column(Integer)  # where fits start from
    current_version: Mapped[int] = mapped_column(Integer)  # what requests are answered with
    latest_version: Mapped[int] = mapped_column(Integer)
    latest_ranking: Mapped[int] = mapped_column(Integer)
    forgotten_ranking: Mapped[int] = mapped_column(Integer)  # rankings up to this one no longer count
    fitted_ranking: Mapped[int] = mapped_column(Integer)  # fits have considered the rankings up to this one
    epoch: Mapped[int] = mapped_column(Integer)  # one more whenever a fit that is under way must begin again
    created_at: Mapped[datetime] = mapped_column(DateTimeUTC, default=_now)


class Version(DefaultBase):
    """Weights of a profile, and how they came to be."""

    __tablename__ = "versions"

    profile_id: Mapped[UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    origin: Mapped[str] = mapped_column(String(16))  # created, fitted, imported, reset
    taken: Mapped[bool]  # whether it was taken into use when it was made; else it was proposed
    seen_ranking: Mapped[int] = mapped_column(Integer)  # made in the knowledge of the rankings up to this one
    replaced: Mapped[int | None]  # the version in use when it was made
    resolution: Mapped[int | None]  # pixels a side; none is native size
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTimeUTC, default=_now)
    weights: Mapped[bytes] = mapped_column(LargeBinary)  # float32 (1152,)


class Ranking(DefaultBase):
    """A person's order of candidates, as channel distances."""

    __tablename__ = "rankings"
    __table_args__ = (Index("ix_rankings_comparison", "profile_id", "comparison"),)

    profile_id: Mapped[UUID] = mapped_column(ForeignKey("profiles.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    ranks: Mapped[list[int]] = mapped_column(JSON)  # (n,) 1 is the most similar; equal ranks are ties
    rater: Mapped[str] = mapped_column(String(NAME_LENGTH))
    comparison: Mapped[str | None] = mapped_column(String(64))  # what was re-ordered; a later order of it replaces this
    target: Mapped[str] = mapped_column(String(64))  # sha256
    candidates: Mapped[list[str]] = mapped_column(JSON)  # (n,) sha256
    resolution: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(DateTimeUTC, default=_now)
    # Last: SQLite reads a row from its beginning, and what is asked for most must not lie behind the largest.
    channel_distances: Mapped[bytes] = mapped_column(LargeBinary)  # float16 (n, 1152)


class Comparison(DefaultBase):
    """The channel distances of a recent `/rank`, so that any replica can take the person's order of it."""

    __tablename__ = "comparisons"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(NAME_LENGTH))
    target: Mapped[str] = mapped_column(String(64))
    candidates: Mapped[list[str]] = mapped_column(JSON)
    resolution: Mapped[int | None]
    backbone: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime] = mapped_column(DateTimeUTC, index=True)
    channel_distances: Mapped[bytes] = mapped_column(LargeBinary)  # float16 (n, 1152)
