"""Which service, and which profile: what the other nodes are wired to, or the default where they are not."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import comfy.model_management
import folder_paths
from clpips_client import ClpipsError
from comfy_api.latest import io

from .background import background
from .keys import FILE_NAME, default_address, key_for
from .waiting import outcome

LOOK_SECONDS: Final = 1.0  # for the profile's version, before anything runs
CATEGORY = "CLPIPS"
ServerType = io.Custom("CLPIPS_SERVER")


@dataclass(frozen=True)
class Server:
    """A service, a profile of it, and how long it may take. The key is looked up when it is needed."""

    address: str
    profile: str = "lpips"
    seconds: float = 60.0

    def key(self) -> str:
        """The key for this address, "" where there is none."""
        return key_for(self.address, Path(folder_paths.get_user_directory()) / FILE_NAME)


def server_input() -> Any:
    """The input that all other nodes have."""
    return ServerType.Input(
        "server",
        optional=True,
        tooltip="From CLPIPS Server. Without it: CLPIPS_ADDRESS or http://localhost:8000, and plain LPIPS.",
    )


def output(kind: Any, name: str, tooltip: str | None = None) -> Any:
    """An output that ComfyUI shows by its name; it would show the type, which several may share."""
    return kind.Output(name, display_name=name, tooltip=tooltip)


def images_inputs() -> list[Any]:
    """The inputs of nodes that compare a batch with a target."""
    return [
        io.Image.Input("target", tooltip="One image: what the others are compared with."),
        io.Image.Input("images", tooltip="A batch."),
    ]


def default_server() -> Server:
    """The service where none is wired."""
    return Server(default_address())


class ServerNode(io.ComfyNode):
    """Names the service and the profile."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What ComfyUI shows."""
        return io.Schema(
            node_id="CLPIPSServer",
            display_name="CLPIPS Server",
            category=CATEGORY,
            description="The CLPIPS service that scores, and the profile by which it does.",
            inputs=[
                io.String.Input(
                    "address",
                    default=default_address(),
                    tooltip="Images are sent there. Its key comes from the environment or a file, never from here.",
                ),
                io.String.Input("profile", default="balanced", tooltip="lpips, balanced, or a profile of your own."),
                io.Float.Input("timeout", default=60.0, min=1.0, max=3600.0, tooltip="Seconds, all tries together."),
            ],
            outputs=[output(ServerType, "server")],
        )

    @classmethod
    async def fingerprint_inputs(cls, address: str | None = None, profile: str | None = None, **_: Any) -> Any:
        """The profile's version: what was ranked by an older one is ranked again, and nothing else.

        An input that another node gives is None here.
        """
        if address is None or profile is None:
            return math.nan  # never the same: ask again next time
        server = Server(address.strip(), profile.strip(), LOOK_SECONDS)
        try:
            found = background().submit(
                server.address,
                server.key(),
                server.seconds,
                lambda client: client.profiles.get(server.profile, limit=1),
            )
            return f"{address} {profile} {(await outcome(found, _stop_if_interrupted)).version}"
        except (ClpipsError, ValueError, InterruptedError):
            return math.nan

    @classmethod
    async def execute(cls, address: str, profile: str, timeout: float) -> io.NodeOutput:  # noqa: ASYNC109
        """The handle that other nodes take."""
        server = Server(address.strip(), profile.strip(), timeout)
        server.key()  # an address that is none is said here
        return io.NodeOutput(server)


def _stop_if_interrupted() -> None:
    """Raises `InterruptedError`. The interrupt stays: the first node to run ends the prompt by it."""
    if comfy.model_management.processing_interrupted():
        raise InterruptedError
