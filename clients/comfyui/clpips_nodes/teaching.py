"""Teach: what a person says of a ranking goes into their profile."""

from comfy_api.latest import io

from .asking import ClpipsNodeError, ask
from .orders import HELP, said
from .servers import CATEGORY, Server, ServerType

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
                io.String.Input("comparison", force_input=True, tooltip="From CLPIPS Rank."),
                io.String.Input(
                    "order",
                    default="",
                    multiline=True,
                    placeholder="2, 0, 1",
                    tooltip=f"Nothing is taught while this is empty. {HELP[0].upper()}{HELP[1:]}.",
                ),
                io.Boolean.Input("make_profile", default=True, tooltip="Make the profile where there is none."),
            ],
            outputs=[io.String.Output("report"), io.Int.Output("version", tooltip="Of the profile, from now on.")],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, order: str) -> bool | str:
        """Whether the order can be read, before anything runs."""
        try:
            said(order)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    async def execute(cls, server: Server, comparison: str, order: str, make_profile: bool) -> io.NodeOutput:
        """Teach, and say what came of it."""
        words = said(order)
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


def _told(report: str, version: int) -> io.NodeOutput:
    return io.NodeOutput(report, version, ui={"text": (report,)})
