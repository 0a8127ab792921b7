"""Teach: what a person says of a ranking goes into their profile."""

from typing import Any

from comfy_api.latest import io

from .asking import ClpipsNodeError, ask
from .orders import HELP, said
from .servers import CATEGORY, Server, ServerType, output

SHIPPED = ("lpips", "balanced")


class Teach(io.ComfyNode):
    """Teaches an order."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="CLPIPSTeach",
            display_name="CLPIPS Teach",
            category=CATEGORY,
            description="Teaches your profile the order that you see in the images. The same order of the same ranking "
            "counts once, however often the workflow runs.",
            inputs=[
                ServerType.Input("server", tooltip="From CLPIPS Server, with a profile of your own."),
                io.String.Input("comparison", force_input=True, optional=True, tooltip="From CLPIPS Rank; or else:"),
                io.String.Input(
                    "session",
                    force_input=True,
                    optional=True,
                    tooltip="The link from CLPIPS Send to session: with an empty order, what a person has said there.",
                ),
                io.String.Input(
                    "order",
                    default="",
                    multiline=True,
                    placeholder="2, 0, 1",
                    tooltip=f"Nothing is taught while this is empty. {HELP[0].upper()}{HELP[1:]}.",
                ),
                io.Boolean.Input("make_profile", default=True, tooltip="Make the profile where there is none."),
            ],
            outputs=[output(io.String, "report"), output(io.Int, "version", tooltip="Of the profile, from now on.")],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, order: str | None = None) -> bool | str:
        """Whether the order can be read, before anything runs; None where another node gives it."""
        try:
            said(order or "")
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    async def execute(
        cls, server: Server, order: str, make_profile: bool, comparison: str = "", session: str = ""
    ) -> io.NodeOutput:
        """Teach, and say what came of it."""
        words = said(order)
        if session:
            return await _of_session(server, session, words)
        if not words:
            return _told("nothing is taught: the order is empty", -1)
        if server.profile in SHIPPED:
            raise ClpipsNodeError(
                f"CLPIPS: {server.profile} ships with the service and is the same for all: name a profile of your own "
                "in CLPIPS Server"
            )
        if not comparison:
            raise ClpipsNodeError("CLPIPS: this ranking has no comparison to speak of: rank fewer images at once")
        if make_profile:
            await ask(server, lambda client: client.profiles.create(server.profile, exist_ok=True))
        taught = await ask(server, lambda client: client.profiles.teach(server.profile, comparison, **words))
        change = "is in use" if taught.taken else "stays in use"
        return _told(
            f"{taught.profile}: version {taught.version} {change}, after {taught.rankings} rankings. {taught.reason}",
            taught.version,
        )


async def _of_session(server: Server, link: str, words: dict[str, Any]) -> io.NodeOutput:
    """Say the order in the session, which teaches its profile; without one, tell what a person has said there."""
    if "ranks" in words:
        raise ClpipsNodeError("CLPIPS: in a session say ties in the studio, or the order without them here")
    if words:
        done = await ask(server, lambda client: client.shared(link).order(**words))
        taught, state = done.taught, done.state
        report = taught.reason if taught is not None else f"nothing is taught: {done.reason}"
        return _told(f"{state.profile.name}: {report}", taught.version if taught is not None else -1)
    state = await ask(server, lambda client: client.shared(link).state())
    if state.order is None:
        return _told("nobody has ordered the session's images yet: its link opens the studio", -1)
    ranks = ", ".join(f"{place}: {rank}" for place, rank in sorted(state.order.ranks.items(), key=lambda one: one[1]))
    return _told(f"{state.profile.name} has learned from the session: ranks {ranks}", state.profile.version)


def _told(report: str, version: int) -> io.NodeOutput:
    return io.NodeOutput(report, version, ui={"text": (report,)})
