"""Operations on sessions: make one, add candidates, look, delete. One method an operation."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from clpips.models.metric.families import ALEXNET, Networks, families_of
from clpips.models.metric.packing import pack_z
from clpips.service.admission.access import Caller
from clpips.service.admission.door import Ticket
from clpips.service.admission.keys import hash_of
from clpips.service.problems import SessionFull, ThumbnailGone, UnknownProfile
from clpips.service.profiles.named_weights import NamedWeights
from clpips.service.profiles.registry import Registry
from clpips.service.scoring.comparer import Comparer
from clpips.service.scoring.thumbnails import ThumbnailMaker
from clpips.service.sessions.held import HeldSessions
from clpips.service.sessions.states import state_of, weighed
from clpips.service.sessions.streams import Streams
from clpips.service.sessions.thumbnails import Thumbnails
from clpips.service.storage.errors import StorageError
from clpips.service.storage.records import Session, SessionCandidate
from clpips.service.storage.sessions import SessionStore
from clpips.service.storage.tables import utc_now
from clpips.service.wire.faults import invalid
from clpips.service.wire.schemas import HeldImage, SentImage, Slot
from clpips.service.wire.session_bodies import CandidatesRequest, SessionRequest
from clpips.service.wire.session_schemas import SessionState

ID_BYTES: Final = 16
TOKEN_BYTES: Final = 32
HOUSEKEEPING_SECONDS: Final = 15.0
FEW: Final = 64  # candidates whose state holds the event loop up for 0.2 ms: a thread would cost more to ask
TOKEN_SCOPES: Final = frozenset({"score", "teach"})  # that a token may have of its maker's

log = structlog.get_logger()


class Opened(NamedTuple):
    """A new session, and the token that opens it, which is kept nowhere."""

    session: Session
    token: str


class Sessions:
    """The sessions of one service. Each method is given a session that its caller may open.

    Every method raises `StorageError`, `SessionMissingError` where the session is gone meanwhile, and what
    `Registry.resolve` raises for its profile.
    """

    def __init__(
        self,
        store: SessionStore,
        held: HeldSessions,
        registry: Registry,
        comparer: Comparer,
        maker: ThumbnailMaker,
        thumbnails: Thumbnails,
        streams: Streams,
        ttl: int,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._held = held
        self._registry = registry
        self._comparer = comparer
        self._maker = maker
        self._thumbnails = thumbnails
        self._streams = streams
        self._ttl = timedelta(seconds=ttl)
        self._clock = clock
        self.count = 0  # of those that have not expired, as last seen

    async def keep_house(self, seconds: float = HOUSEKEEPING_SECONDS) -> None:
        """Remove what has expired, and count what is left, again and again; without end."""
        while True:
            self._thumbnails.expire()
            self._held.expire()
            try:
                self.count = await self._store.count_sessions()
            except StorageError as error:
                log.warning("sessions not counted", reason=str(error))
            await asyncio.sleep(seconds)

    async def create(self, caller: Caller, request: SessionRequest, ticket: Ticket) -> Opened:
        """A new session of the caller's. Raises `QuotaReachedError`, or what scoring raises."""
        options = request.options
        profile = await self._registry.resolve(caller.tenant, options.profile)
        self._registry.require_networks(profile.weights, "/profile")
        families = families_of(self._networks(profile))
        pictures = self._to_make([request.target])
        pair = (request.target, request.target)
        await self._comparer.compare(
            caller.tenant, [pair], options.resolution, ticket, families, [request.mask], thumbnails=pictures
        )
        mask = None if request.mask is None else request.mask.image
        kept = mask if isinstance(mask, SentImage) else None  # what is no file has been refused
        now, token = self._clock(), secrets.token_urlsafe(TOKEN_BYTES)
        session = Session(
            id=secrets.token_urlsafe(ID_BYTES),
            tenant=caller.tenant,
            key=caller.key,
            scopes=frozenset(caller.scopes & TOKEN_SCOPES),
            token=hash_of(token),
            title=options.title,
            profile=profile.info.name,
            profile_version=profile.info.version,
            resolution=options.resolution,
            backbone=self._registry.backbone,
            target=request.target.sha256,
            candidates=0,
            revision=1,
            change="created",
            created_at=now,
            expires_at=now + self._ttl,
            order=None,
            mask=None if kept is None else kept.sha256,
        )
        await self._store.create_session(session, None if kept is None else bytes(kept.content))
        self.count += 1
        self._held.note(session)
        await self._keep(session.id, [request.target], pictures, ticket)
        log.info("session made", tenant=caller.tenant, session=session.id, profile=session.profile)
        return Opened(session, token)

    async def add(
        self, session: Session, request: CandidatesRequest, ticket: Ticket, since: int | None = None
    ) -> SessionState:
        """Compare further candidates with the target, and keep what came of it; once, by `since`, where it is given.

        Raises `SessionFull`, `InvalidRequest` for another target, `ImagesNotHeld` where what was computed of the
        target is gone and it must be sent again, or what scoring raises.
        """
        known = session.candidates if since is None else min(since, session.candidates)
        if known + len(request.candidates) > self._store.most_candidates:
            raise SessionFull(
                f"the session has {session.candidates:,} candidates, of {self._store.most_candidates:,} that it may "
                "have; make another one"
            )
        self._registry.require_backbone(session.backbone, "the session")
        profile = await self._registry.resolve(session.tenant, session.profile)
        self._registry.require_networks(profile.weights)
        networks = self._networks(profile)
        target = _target_of(session, request.target)
        pairs = [(target, candidate) for candidate in request.candidates]
        pictures = self._to_make([target, *request.candidates])
        families = families_of(networks)
        masks = [await self.mask_of(session)] * len(pairs)
        z = await self._comparer.compare(
            session.tenant, pairs, session.resolution, ticket, families, masks, thumbnails=pictures
        )
        packed = pack_z(z, networks)  # (n, known)
        added = [
            SessionCandidate(place, slot.sha256, prompt, step, row)
            for place, (slot, prompt, step, row) in enumerate(
                zip(request.candidates, request.prompts, request.steps, packed, strict=True)
            )
        ]
        await self._keep(session.id, [target, *request.candidates], pictures, ticket)
        now, candidates = await self._held.add(session.id, added, since)
        self._streams.publish(now)
        return await self._state(now, candidates, profile)

    async def look(self, session: Session, profile: str | None = None, *, own: bool = True) -> SessionState:
        """The session as it is now, ordered by its own profile, or by another of the tenant's.

        One that does not come as the tenant's `own` sees the session's profile, and those that ship. Raises
        `ImagesNotHeld` where the candidates were compared without a network that the profile needs.
        """
        weights = await self._registry.resolve(session.tenant, self.weights_of(session, profile, own=own))
        self._registry.require_networks(weights.weights)
        return await self._state(*await self._held.read(session.id), weights)

    def weights_of(self, session: Session, profile: str | None, *, own: bool) -> str:
        """The name of the weights that a session is looked at by: its own profile's, or those that are asked for.

        Raises `UnknownProfile` for another profile where the caller does not come as the tenant's `own`, whether there
        is one or not; and `BackboneMismatch`.
        """
        name = profile or session.profile
        if not own and name != session.profile and name not in self._registry.shipped:
            raise UnknownProfile(
                "the session's token opens its own profile, and "
                f"{', '.join(self._registry.shipped.names())}, which ship with the service"
            )
        self._registry.require_backbone(session.backbone, "the session")
        return name

    async def delete(self, session: Session) -> None:
        """Remove the session; what it taught stays."""
        await self._store.delete_session(session.id)
        self.count -= 1
        self._held.forget(session.id)
        self._thumbnails.forget(session.id)
        self._streams.end(session.id)
        log.info("session deleted", tenant=session.tenant, session=session.id)

    async def mask_of(self, session: Session) -> Slot | None:
        """The mask within which a session's candidates are compared, as it was sent; None where all counts."""
        if session.mask is None:
            return None
        return Slot("/mask", SentImage(await self._held.mask_of(session), session.mask))

    async def thumbnail(self, session: Session, which: str) -> bytes:
        """The WebP file of the target, or of a candidate by its index. Raises `ThumbnailGone`."""
        image: str | None = session.target
        if which != "target":
            image = None
            if which.isascii() and which.isdecimal() and str(int(which[:9])) == which:
                image = await self._held.image_of(session, int(which))
        found = None if image is None else self._thumbnails.find(session.id, image)
        if found is None:
            raise ThumbnailGone(
                "there is no picture of this image here: it was never sent to this replica, or it has been forgotten; "
                "show a placeholder"
            )
        return found

    def _networks(self, profile: NamedWeights) -> Networks:
        """The networks that candidates are compared by: all, where the profile may be taught by what they say."""
        own = profile.info.name not in self._registry.shipped
        return self._registry.networks if own else profile.weights.networks | {ALEXNET}

    async def _state(self, now: Session, candidates: Sequence[SessionCandidate], profile: NamedWeights) -> SessionState:
        """The session in the order of a profile's weights, by which each candidate is weighed once."""
        before = self._held.weighed(now.id, profile.info.fingerprint)
        pictured = self._thumbnails.images_of(now.id)

        def made() -> tuple[NDArray[np.float64], SessionState]:
            parts = weighed(candidates, profile, before)  # (n, families)
            return parts, state_of(now, candidates, profile, parts, pictured)

        parts, state = made() if len(candidates) <= FEW else await asyncio.to_thread(made)
        self._held.keep_weighed(now.id, profile.info.fingerprint, parts)
        return state

    def _to_make(self, slots: Sequence[Slot]) -> dict[str, bytes | None]:
        """The images that came as files and have no thumbnail yet, by their hashes: none where none are kept."""
        if not self._thumbnails.has_room:
            return {}
        sent = {slot.image.sha256 for slot in slots if isinstance(slot.image, SentImage)}
        return {name: None for name in sent if name not in self._thumbnails}

    async def _keep(
        self, session: str, slots: Sequence[Slot], pictures: Mapping[str, bytes | None], ticket: Ticket
    ) -> None:
        """Keep thumbnails of images that have been scored; those that nobody has made so far are made now."""
        if not self._thumbnails.has_room:
            return
        left: dict[str, SentImage] = {}
        for slot in slots:
            made = pictures.get(slot.sha256)
            if made is not None:
                self._thumbnails.keep(session, slot.sha256, made)
            elif not self._thumbnails.adopt(session, slot.sha256) and isinstance(slot.image, SentImage):
                left[slot.sha256] = slot.image
        if left:
            for name, content in (await self._maker.make(list(left.values()), ticket)).items():
                self._thumbnails.keep(session, name, content)


def _target_of(session: Session, again: Slot | None) -> Slot:
    """The session's target: as it came again, or by its hash. Raises `InvalidRequest` where it is another one."""
    if again is None:
        return Slot("/target", HeldImage(session.target))
    image = again.image
    if isinstance(image, SentImage | HeldImage) and image.sha256 != session.target:
        raise invalid(
            "/target",
            f"this is sha256:{image.sha256}, and the session's target is sha256:{session.target}; send the same file "
            "again, or make another session",
        )
    return again
