"""Heat maps of sessions: where a candidate differs from its session's target, by weights that its caller may see."""

from clpips.service.admission.door import Ticket
from clpips.service.problems import Fault, ImagesNotHeld
from clpips.service.scoring.heatmaps import Heatmaps
from clpips.service.sessions.held import HeldSessions
from clpips.service.sessions.operations import Sessions
from clpips.service.storage.records import Session
from clpips.service.wire.faults import invalid
from clpips.service.wire.heatmaps import Heatmap, HeatmapOptions, HeatmapRequest
from clpips.service.wire.schemas import HeldImage, Slot


class SessionHeatmaps:
    """The heat maps of one service's sessions: of a session's own target and candidates, and of no other images.

    A candidate is named by its index, so that there is no way to name anything else; its images are never sent.
    """

    def __init__(self, sessions: Sessions, held: HeldSessions, heatmaps: Heatmaps) -> None:
        self._sessions = sessions
        self._held = held
        self._heatmaps = heatmaps

    async def draw(self, session: Session, candidate: int, options: HeatmapOptions, ticket: Ticket) -> Heatmap:
        """The map of a candidate, by its index, within the session's mask where it has one.

        Raises `InvalidRequest` where there is no such candidate, `ImagesNotHeld` where what was computed of the images
        is gone, and what `Heatmaps.draw` raises.
        """
        image = await self._held.image_of(session, candidate)
        if image is None:
            raise invalid("/candidate", f"there is no candidate {candidate:,}: the session has {session.candidates:,}")
        target, other = Slot("/target", HeldImage(session.target)), Slot("/candidate", HeldImage(image))
        request = HeatmapRequest(target, other, options, await self._sessions.mask_of(session))
        try:
            return await self._heatmaps.draw(session.tenant, request, ticket)
        except ImagesNotHeld as error:
            again = f"send it again: `POST /sessions/{session.id}/candidates?since=0` adds nothing twice"
            faults = [
                Fault(fault.pointer, f"what was computed of it is held no longer; {again}") for fault in error.errors
            ]
            raise ImagesNotHeld(
                "what the heat map needs of the session's images is held no longer: see `errors`", faults
            ) from error
