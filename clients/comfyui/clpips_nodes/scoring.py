"""Rank, Best, Gate and Distance."""

import torch
from clpips_client import Ranking
from comfy_api.latest import io
from comfy_execution.graph import ExecutionBlocker

from .asking import ask
from .images import one, picked, sent, show_progress
from .orders import written
from .servers import CATEGORY, Server, default_server, images_inputs, output, server_input


async def ranked(server: Server | None, target: torch.Tensor, images: torch.Tensor) -> Ranking:
    """The ranking of a batch, with the node's bar and a preview of the best."""
    server = server or default_server()
    show_progress(0, len(images))
    ranking = await ask(server, lambda client: client.rank(one(target, "target"), sent(images), profile=server.profile))
    show_progress(len(images), len(images), images[ranking.best.index])
    return ranking


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


class Rank(io.ComfyNode):
    """Orders a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="CLPIPSRank",
            display_name="CLPIPS Rank",
            category=CATEGORY,
            description="Orders a batch by how similar its images are to a target, the most similar first.",
            inputs=[*images_inputs(), server_input()],
            outputs=[
                output(io.Image, "ranked", tooltip="The batch in its order, the most similar first."),
                output(io.String, "order", tooltip="The places that the images had in the batch, from 0."),
                output(io.String, "distances", tooltip="In the same order; 0 is identical."),
                output(io.Float, "best_distance"),
                output(
                    io.String, "comparison", tooltip="For CLPIPS Teach; empty for more images than a request takes."
                ),
            ],
        )

    @classmethod
    async def execute(cls, target: torch.Tensor, images: torch.Tensor, server: Server | None = None) -> io.NodeOutput:
        """Rank, and sort."""
        ranking = await ranked(server, target, images)
        return io.NodeOutput(
            picked(images, ranking.order),
            written(ranking.order),
            _numbers([each.distance for each in ranking]),
            ranking.best.distance,
            ranking.comparison or "",
        )


class Best(io.ComfyNode):
    """The k most similar."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="CLPIPSBest",
            display_name="CLPIPS Best k",
            category=CATEGORY,
            description="The k images of a batch that are the most similar to a target.",
            inputs=[*images_inputs(), io.Int.Input("k", default=1, min=1, max=4096), server_input()],
            outputs=[
                output(io.Image, "best", tooltip="The most similar first; all where the batch has fewer than k."),
                output(io.String, "order", tooltip="The places that they had in the batch, from 0."),
                output(io.Float, "best_distance"),
            ],
        )

    @classmethod
    async def execute(
        cls, target: torch.Tensor, images: torch.Tensor, k: int, server: Server | None = None
    ) -> io.NodeOutput:
        """Rank, and keep the first k."""
        ranking = await ranked(server, target, images)
        best = ranking.order[:k]
        return io.NodeOutput(picked(images, best), written(best), ranking.best.distance)


class Gate(io.ComfyNode):
    """Accepts what is near enough."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="CLPIPSGate",
            display_name="CLPIPS Gate",
            category=CATEGORY,
            description="Lets the images pass whose distance is at most the threshold, in the order of the batch. "
            "Where none passes, or none is rejected, that output does nothing further on.",
            inputs=[
                *images_inputs(),
                io.Float.Input("threshold", default=0.3, min=0.0, max=1e6, step=0.01, tooltip="0 is identical."),
                server_input(),
            ],
            outputs=[
                output(io.Image, "accepted"),
                output(io.Image, "rejected"),
                output(io.Int, "accepted_count"),
                output(io.Int, "rejected_count"),
            ],
        )

    @classmethod
    async def execute(
        cls, target: torch.Tensor, images: torch.Tensor, threshold: float, server: Server | None = None
    ) -> io.NodeOutput:
        """Rank, and part the batch."""
        ranking = await ranked(server, target, images)
        near = sorted(each.index for each in ranking if each.distance <= threshold)
        far = sorted(each.index for each in ranking if not each.distance <= threshold)
        parts = [picked(images, places) if places else ExecutionBlocker(None) for places in (near, far)]
        return io.NodeOutput(*parts, len(near), len(far))


class Distance(io.ComfyNode):
    """How far each image is."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="CLPIPSDistance",
            display_name="CLPIPS Distance",
            category=CATEGORY,
            description="The distance of each image from the target, or of each pair where the targets are as many.",
            inputs=[
                io.Image.Input("targets", tooltip="One image, or as many as there are images."),
                io.Image.Input("images", tooltip="A batch."),
                server_input(),
            ],
            outputs=[
                output(io.Float, "distance", tooltip="The mean; of a single image, its distance."),
                output(io.String, "distances", tooltip="In the order of the batch; 0 is identical."),
            ],
        )

    @classmethod
    async def execute(cls, targets: torch.Tensor, images: torch.Tensor, server: Server | None = None) -> io.NodeOutput:
        """Compare pair by pair."""
        server = server or default_server()
        show_progress(0, len(images))
        found = await ask(server, lambda client: client.distance(sent(targets), sent(images), profile=server.profile))
        show_progress(len(images), len(images))
        values = list(found.distances)
        return io.NodeOutput(sum(values) / len(values), _numbers(values))
