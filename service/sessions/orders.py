"""Orders of a session's candidates: what a person says is kept in the session, and taught to its profile."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import numpy as np

from clpips.models.rankings.orders import OrderError, ranks_of_groups, ranks_of_top
from clpips.models.rankings.pairs import expand_ranks
from clpips.service.problems import Problem
from clpips.service.profiles.registry import Registry
from clpips.service.sessions.held import HeldSessions
from clpips.service.sessions.operations import Sessions
from clpips.service.sessions.states import compared
from clpips.service.sessions.streams import Streams
from clpips.service.storage.errors import ProfileMissingError, RankingMissingError, RefusedError
from clpips.service.storage.records import SaidAs, Session, SessionOrder
from clpips.service.storage.sessions import SessionStore
from clpips.service.storage.tables import utc_now
from clpips.service.teaching.judging import Judging
from clpips.service.wire.faults import invalid
from clpips.service.wire.ranking_schemas import Forgotten, TaughtRanking
from clpips.service.wire.session_schemas import SessionForgotten, SessionOrderBody, SessionSuggestion, SessionTaught


class Settled(NamedTuple):
    """What became of a person's order in the profile: at most one of the first two, else the reason."""

    taught: TaughtRanking | None = None
    forgotten: Forgotten | None = None
    reason: str | None = None


class SessionOrders:
    """The orders of one service's sessions. Each method is given a session that its caller may open.

    Every method raises what those of `Sessions` do.
    """

    def __init__(
        self,
        sessions: Sessions,
        store: SessionStore,
        held: HeldSessions,
        registry: Registry,
        judging: Judging,
        streams: Streams,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._held = held
        self._registry = registry
        self._judging = judging
        self._streams = streams
        self._clock = clock

    async def order(self, session: Session, said: SessionOrderBody, *, teaches: bool) -> SessionTaught:
        """Keep what a person says of the candidates, and teach it to the profile where the caller may.

        It replaces what was said before, in the session and in the profile. Raises `InvalidRequest` or
        `BackboneMismatch`.
        """
        self._registry.require_backbone(session.backbone, "the session")
        now, _ = await self._held.read(session.id)
        order = SessionOrder(_ranks(said, now.candidates), _kind(said), self._clock())
        self._streams.publish(await self._store.keep_order(session.id, order))
        settled = await self._settle(session, teaches=teaches)
        return SessionTaught(await self._sessions.look(session), settled.taught, settled.reason)

    async def take_back(self, session: Session, *, teaches: bool) -> SessionForgotten:
        """Forget what a person said of the candidates, and have the profile forget it too. Raises `FitFailed`."""
        self._streams.publish(await self._store.keep_order(session.id, None))
        settled = await self._settle(session, teaches=teaches)
        return SessionForgotten(await self._sessions.look(session), settled.forgotten, settled.reason)

    async def forget(self, session: Session) -> Forgotten | None:
        """Have the profile forget its ranking of the session; None where it has none. Raises `FitFailed`."""
        if session.profile in self._registry.shipped:
            return None
        try:
            number = await self._judging.ranking_of(session.tenant, session.profile, session.id)
            return None if number is None else await self._judging.forget(session.tenant, session.profile, number)
        except (ProfileMissingError, RankingMissingError):
            return None

    async def suggest(self, session: Session) -> SessionSuggestion:
        """The two candidates whose order would teach the profile the most, and which nobody has ordered yet."""
        now, candidates = await self._held.read(session.id)
        known = np.zeros((len(candidates), len(candidates)), np.bool_)  # whether the order of a pair is known
        if now.order is not None:
            places = np.array(list(now.order.ranks))
            better, worse = expand_ranks(list(now.order.ranks.values()))
            known[places[better], places[worse]] = True
        if len(candidates) < 2:
            return SessionSuggestion(session.id, None, "there are no two candidates yet")
        pair, reason = await self._judging.suggest_among(
            session.tenant, session.profile, compared(now, candidates), known
        )
        return SessionSuggestion(session.id, None if pair is None else list(pair), reason)

    async def _settle(self, session: Session, *, teaches: bool) -> Settled:
        """Bring the profile's ranking of a session in line with the session's order, as it is by then.

        Of several at once, whoever is last sees the order that counts.
        """
        if session.profile in self._registry.shipped:
            return Settled(reason=f"{session.profile!r} ships with the service: make a profile of your own to teach")
        if not teaches:
            return Settled(reason="the key has no scope 'teach'")
        settled, done = Settled(), False
        last: SessionOrder | None = None
        while True:
            now, candidates = await self._held.read(session.id)
            if done and now.order == last:
                return settled
            last, done = now.order, True
            try:
                if now.order is None:
                    settled = Settled(forgotten=await self.forget(session))
                    if settled.forgotten is None:
                        settled = Settled(reason="the profile keeps no ranking of this session")
                else:
                    chosen = [candidates[index] for index in now.order.ranks]
                    ranks = list(now.order.ranks.values())
                    taught = await self._judging.teach_compared(
                        session.tenant, session.profile, compared(now, chosen), ranks, session.id
                    )
                    settled = Settled(taught=taught)
            except (Problem, RefusedError) as error:
                settled = Settled(reason=str(error))
            changed = settled.taught or settled.forgotten
            if changed is not None:
                self._streams.publish(await self._store.note_version(session.id, changed.version))


def _ranks(said: SessionOrderBody, count: int) -> dict[int, int]:
    """The rank of each of `count` candidates that a person spoke of, by its index: exactly the pairs that they ordered.

    Raises `InvalidRequest` where what they said is not of so many candidates.
    """
    try:
        if said.order is not None:
            return ranks_of_groups([one if isinstance(one, list) else [one] for one in said.order], count)
        top = said.top if said.best is None else [said.best]
        return dict(enumerate(ranks_of_top(top or [], count)))
    except OrderError as error:
        raise invalid(f"/{_kind(said)}", str(error)) from error


def _kind(said: SessionOrderBody) -> SaidAs:
    if said.order is not None:
        return "order"
    return "top" if said.best is None else "best"
