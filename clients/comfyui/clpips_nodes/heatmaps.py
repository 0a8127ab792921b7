"""Heat map: where an image differs from its target."""

from typing import Literal

import torch
from clpips_client import AsyncClient, Unit
from clpips_client import Heatmap as Drawn
from comfy_api.latest import io

from .asking import ask
from .images import one, one_mask, opened, sent, show_progress
from .servers import CATEGORY, Server, default_server, images_inputs, output, server_input


class Heatmap(io.ComfyNode):
    """Draws the difference."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="CLPIPSHeatmap",
            display_name="CLPIPS Heat map",
            category=CATEGORY,
            description="Where each image differs from the target. A batch has one scale: the lightest colour is the "
            "largest difference of all.",
            inputs=[
                *images_inputs(),
                io.Combo.Input("style", options=["overlay", "map"], default="overlay"),
                io.Combo.Input("upsample", options=["bilinear", "nearest"], default="bilinear"),
                io.Float.Input("opacity", default=0.6, min=0.0, max=1.0, step=0.05, tooltip="Of the map, as overlay."),
                server_input(),
                io.Mask.Input(
                    "mask", optional=True, tooltip="What counts of the target, whose size it has; 0 is nothing."
                ),
            ],
            outputs=[
                output(io.Image, "heatmaps", tooltip="256 × 256, what is scored."),
                output(io.Float, "highest", tooltip="The difference that has the lightest colour."),
            ],
        )

    @classmethod
    async def execute(
        cls,
        target: torch.Tensor,
        images: torch.Tensor,
        style: Literal["map", "overlay"],
        upsample: Literal["nearest", "bilinear"],
        opacity: float,
        server: Server | None = None,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        """Ask for each map, then again for those whose scale is not the largest."""
        server = server or default_server()
        region = None if mask is None else one_mask(mask)
        drawn = await _drawn(server, target, images, style, upsample, opacity, None, region)
        highest = max(one_map.high for one_map in drawn)
        if len(drawn) > 1:  # at first by their own scales, to know the largest
            drawn = await _drawn(server, target, images, style, upsample, opacity, highest, region)
        maps = opened([one_map.content for one_map in drawn])
        show_progress(1, 1, maps[0])
        return io.NodeOutput(maps, highest)


async def _drawn(
    server: Server,
    target: torch.Tensor,
    images: torch.Tensor,
    style: Literal["map", "overlay"],
    upsample: Literal["nearest", "bilinear"],
    opacity: float,
    high: float | None,
    mask: Unit | None,
) -> list[Drawn]:
    """The map of each image, with its own scale or with that which is named."""
    the_target = one(target, "target")
    drawn: list[Drawn] = []
    for place in range(len(images)):
        show_progress(place, len(images))
        each = sent(images[place : place + 1])

        async def draw(client: AsyncClient, each: Unit = each) -> Drawn:
            return await client.heatmap(
                the_target,
                each,
                profile=server.profile,
                style=style,
                upsample=upsample,
                opacity=opacity,
                high=high,
                mask=mask,
            )

        drawn.append(await ask(server, draw))
    return drawn
