"""The list of nodes."""

from comfy_api.latest import ComfyExtension, io

from .heatmaps import Heatmap
from .scoring import Best, Distance, Gate, Rank
from .servers import ServerNode
from .sessions import SendToSession
from .teaching import Teach


class ClpipsExtension(ComfyExtension):
    """What ComfyUI loads."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes of the pack."""
        return [ServerNode, Rank, Best, Gate, Distance, Heatmap, SendToSession, Teach]
