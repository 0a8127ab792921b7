"""Send to session: images go to the studio as they are made, where a person orders them whenever they like."""

from collections import OrderedDict
from typing import Final

import torch
from clpips_client import AsyncClient, SessionFullError, SessionNotFoundError
from clpips_client.pictures import one_picture, pictures_of
from comfy_api.latest import io

from .asking import ask
from .images import one, sent, show_progress
from .servers import CATEGORY, Server, default_server, output, server_input

MOST_LINKS: Final = 100  # sessions remembered; the oldest begin anew
RESOLUTION: Final = 256

links: "OrderedDict[tuple[str, str, str, str], str]" = OrderedDict()  # by address, profile, title and target


class SendToSession(io.ComfyNode):
    """Adds images to a session of the studio."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="CLPIPSSession",
            display_name="CLPIPS Send to session",
            category=CATEGORY,
            description="Adds the images to a session, and gives the link by which a person orders them in the studio. "
            "It waits for nobody. The same target, profile and title are the same session, run after run, to which no "
            "image is added twice.",
            inputs=[
                io.Image.Input("target", tooltip="One image: what is refined towards."),
                io.Image.Input("images", tooltip="A batch: the new candidates."),
                io.String.Input("title", default="", tooltip="For people; another title is another session."),
                server_input(),
            ],
            outputs=[
                output(io.String, "link", tooltip="Whoever has it may work on this session."),
                output(io.Int, "candidates", tooltip="How many the session has."),
            ],
            is_output_node=True,
        )

    @classmethod
    async def execute(
        cls, target: torch.Tensor, images: torch.Tensor, title: str, server: Server | None = None
    ) -> io.NodeOutput:
        """Add them, to a new session where there is none."""
        server = server or default_server()
        the_target = one_picture(one(target, "target"), "/target", RESOLUTION)
        them = pictures_of(sent(images), RESOLUTION)
        key = (server.address, server.profile, title, the_target.name)

        async def add(client: AsyncClient) -> tuple[str, int]:
            if key in links:
                session = client.shared(links[key])
                try:
                    state = await session.state()
                    there = {candidate.sha256 for candidate in state.candidates}
                    new = [each for each in them if each.name not in there]
                    return session.url, len((await session.add(new) if new else state).candidates)
                except (SessionNotFoundError, SessionFullError):
                    links.pop(key, None)
            session = await client.share(the_target, profile=server.profile, title=title)
            state = await session.add(them)
            return session.url, len(state.candidates)

        show_progress(0, 1)
        link, count = await ask(server, add)
        links[key] = link
        links.move_to_end(key)
        while len(links) > MOST_LINKS:
            links.popitem(last=False)
        show_progress(1, 1)
        return io.NodeOutput(link, count, ui={"text": (link,)})
