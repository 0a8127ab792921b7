"""Held sessions: a cache, within a bound of bytes, of what never changes of a session once it is there.

Candidates are only ever added. So whoever looks at a session reads its row and the candidates that are new, whichever
replica added them; and what weights say of a candidate is computed once. The row itself is always read, or written: it
tells whether the session is still there, how many candidates count, and what a person has said of them.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.service.storage.errors import SessionMissingError
from clpips.service.storage.records import Session, SessionCandidate
from clpips.service.storage.sessions import SessionStore
from clpips.service.storage.tables import utc_now

MOST_BYTES: Final = 64 * 2**20  # five thousand candidates or more
OVERHEAD_BYTES: Final = 1024  # of a session, and of a candidate, beside what they carry
MOST_WEIGHTS: Final = 3  # by which a session's candidates are weighed: its profile, the version before, plain LPIPS


@dataclass(eq=False)
class _Held:
    session: Session  # as it was last seen
    candidates: list[SessionCandidate] = field(default_factory=list)  # by index, from 0 on
    mask: bytes | None = None  # its file, once it has been read
    weighed: OrderedDict[str, NDArray[np.float64]] = field(default_factory=OrderedDict)  # (≤ n, families) by weights
    nbytes: int = OVERHEAD_BYTES


class HeldSessions:
    """The sessions of a store, of which the most recently used are held.

    Methods that read the database raise `StorageError`, and `SessionMissingError` where the session is gone.
    """

    def __init__(
        self, store: SessionStore, most_bytes: int = MOST_BYTES, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._store = store
        self._most_bytes = most_bytes
        self._clock = clock
        self._held: OrderedDict[str, _Held] = OrderedDict()  # the least recently used first
        self.nbytes = 0

    async def find(self, name: str, *, tenant: str | None = None, token: str | None = None) -> Session:
        """The session of this id that a tenant has, or that a token, by its sha256, opens: as it is now."""
        try:
            found = await self._store.find_session(name, tenant=tenant, token=token)
        except SessionMissingError:
            held = self._held.get(name)
            if held is not None and _is_of(held.session, tenant, token):
                self.forget(name)
            raise
        self.note(found)
        return found

    async def recall(self, name: str, *, tenant: str | None = None, token: str | None = None) -> Session:
        """What `find` gives, as it was last seen where it is held. It may have been deleted meanwhile.

        Whoever it does not belong to waits for the database, as for a session that never was.
        """
        held = self._held.get(name)
        if held is None or not _is_of(held.session, tenant, token) or held.session.expires_at <= self._clock():
            return await self.find(name, tenant=tenant, token=token)
        self._held.move_to_end(name)
        return held.session

    async def read(self, name: str) -> tuple[Session, Sequence[SessionCandidate]]:
        """A session as it is now, and all of its candidates by index."""
        held = self._held.get(name)
        known = 0 if held is None else len(held.candidates)
        try:
            now, new = await self._store.read_session(name, known)
        except SessionMissingError:
            self.forget(name)
            raise
        return now, await self._extended(now, known, new)

    async def add(
        self, name: str, added: Sequence[SessionCandidate], since: int | None = None
    ) -> tuple[Session, Sequence[SessionCandidate]]:
        """Add candidates, as `SessionStore.add_candidates` has it: the session, and all of its candidates by index."""
        try:
            now, placed = await self._store.add_candidates(name, added, since)
        except SessionMissingError:
            self.forget(name)
            raise
        return now, await self._extended(now, now.candidates - len(placed), placed)

    async def image_of(self, session: Session, index: int) -> str | None:
        """The sha256 of a candidate of a session that is there, if it has it."""
        if index >= session.candidates:
            return None
        held = self._held.get(session.id)
        if held is not None and index < len(held.candidates):
            return held.candidates[index].image
        return await self._store.image_of(session.id, index)

    async def mask_of(self, session: Session) -> bytes:
        """The file of a session's mask, which never changes. Raises `SessionMissingError` where there is none."""
        held = self._held.get(session.id)
        if held is not None and held.mask is not None:
            return held.mask
        mask = await self._store.mask_of(session.id)
        held = self._held.get(session.id)
        if held is not None and held.mask is None:
            held.mask = mask
            held.nbytes += len(mask)
            self.nbytes += len(mask)
            self._make_room()
        return mask

    def weighed(self, name: str, weights: str) -> NDArray[np.float64] | None:
        """What families add to the distances of a session's first candidates, by the weights of a fingerprint."""
        held = self._held.get(name)
        return None if held is None else held.weighed.get(weights)

    def keep_weighed(self, name: str, weights: str, parts: NDArray[np.float64]) -> None:
        """Keep what families add to the distances of a session's candidates, `(n, families)`."""
        held = self._held.get(name)
        if held is None or len(parts) > len(held.candidates):
            return
        before = held.weighed.get(weights)
        if before is None or len(before) < len(parts):
            held.weighed[weights] = parts
        held.weighed.move_to_end(weights)
        if len(held.weighed) > MOST_WEIGHTS:
            held.weighed.popitem(last=False)

    def note(self, session: Session) -> None:
        """Note a session as it has been seen. One that has gone back, as a database does from a backup, begins anew."""
        held = self._held.get(session.id)
        if held is not None and len(held.candidates) > session.candidates and session.revision < held.session.revision:
            self.forget(session.id)
            held = None
        if held is None:
            held = self._held[session.id] = _Held(session)
            self.nbytes += held.nbytes
        elif session.revision >= held.session.revision:
            held.session = session
        self._held.move_to_end(session.id)
        self._make_room()

    def forget(self, name: str) -> None:
        """Forget a session."""
        held = self._held.pop(name, None)
        if held is not None:
            self.nbytes -= held.nbytes

    def expire(self) -> None:
        """Forget those that have ended."""
        now = self._clock()
        for name in [name for name, held in self._held.items() if held.session.expires_at <= now]:
            self.forget(name)

    async def _extended(self, now: Session, start: int, new: Sequence[SessionCandidate]) -> Sequence[SessionCandidate]:
        """All candidates of a session, with the `new` ones from index `start` on; those that lack are read."""
        self.note(now)
        known = list(self._known(now))
        if len(known) < start:
            known += await self._store.candidates_between(now.id, len(known), start)
        known += new[len(known) - start :]
        held = self._held.get(now.id)
        if held is not None and len(held.candidates) < len(known):
            further = known[len(held.candidates) :]
            held.candidates += further
            nbytes = sum(map(_size, further))
            held.nbytes += nbytes
            self.nbytes += nbytes
            self._make_room()
        return known

    def _known(self, now: Session) -> Sequence[SessionCandidate]:
        held = self._held.get(now.id)
        return [] if held is None else held.candidates[: now.candidates]

    def _make_room(self) -> None:
        while self.nbytes > self._most_bytes:
            self.forget(next(iter(self._held)))


def _is_of(session: Session, tenant: str | None, token: str | None) -> bool:
    return tenant in {None, session.tenant} and token in {None, session.token}


def _size(candidate: SessionCandidate) -> int:
    prompt = 0 if candidate.prompt is None else 4 * len(candidate.prompt)
    return candidate.channel_distances.nbytes + prompt + OVERHEAD_BYTES
