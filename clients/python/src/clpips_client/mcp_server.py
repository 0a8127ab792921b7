"""An MCP server (Model Context Protocol, over stdio): agents that iterate on pictures rank, compare and look at them.

    clpips-mcp [--address URL] [--folder FOLDER]...

It reads images in the folders that it is given, by default the one that it is started in, and nothing else.
"""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clpips_client.async_client import AsyncClient
from clpips_client.errors import ClpipsError
from clpips_client.pictures import NAME

try:
    from mcp.server.mcpserver import Image, MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
except ImportError as error:
    raise ImportError("the MCP server needs the official SDK: pip install 'clpips-client[mcp]'") from error

INSTRUCTIONS = """Scores how similar images look to a target, by a perceptual metric. Distances begin at 0 (identical);
compare them only with others of the same profile. Images are paths, or names (sha256:...) that an answer gave."""


@dataclass(frozen=True)
class Place:
    """A candidate in its place."""

    rank: int  # 1 is the most similar
    candidate: str  # as it was given
    distance: float
    name: str  # `sha256:...`, by which it may be named from now on


@dataclass(frozen=True)
class Ranked:
    """Candidates, the most similar first."""

    profile: str
    target: str  # its name
    ranking: list[Place]


@dataclass(frozen=True)
class Compared:
    """How far two images are apart."""

    profile: str
    distance: float


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Errors of the client as those that an agent is told in their own words."""
    try:
        yield
    except ClpipsError as error:
        raise ToolError(str(error)) from error


def server_of(client: AsyncClient, folders: Sequence[Path]) -> MCPServer:
    """The server, on a client of the service. What a tool cannot do is told to the agent as an error of the tool."""
    server = MCPServer("clpips", instructions=INSTRUCTIONS)
    roots = [folder.resolve() for folder in folders]

    def opened(image: str) -> str | Path:
        """A name as it is, and a path where it is one that may be read."""
        if NAME.fullmatch(image):
            return image
        if "\0" in image:
            raise ToolError(f"{image!r} is no path")
        paths = [(root / image).resolve() for root in roots]  # links are followed before the folders are looked at
        allowed = [path for path in paths if any(path.is_relative_to(root) for root in roots)]
        where = ", ".join(map(str, roots))
        if not allowed:
            raise ToolError(f"{image}: this server reads images in {where} alone")
        for path in allowed:
            if path.is_file():
                return path
        raise ToolError(f"{image}: there is no such file in {where}")

    @server.tool()
    async def rank(target: str, candidates: list[str], profile: str = "lpips") -> Ranked:
        """Order candidate images by how similar they are to a target image, the most similar first."""
        with told():
            ranking = await client.rank(opened(target), [opened(each) for each in candidates], profile=profile)
        places = [
            Place(rank=one.rank, candidate=candidates[one.index], distance=one.distance, name=one.candidate)
            for one in ranking.ranking
        ]
        return Ranked(profile=profile, target=ranking.target, ranking=places)

    @server.tool()
    async def distance(target: str, candidate: str, profile: str = "lpips") -> Compared:
        """The perceptual distance of two images; 0 is identical."""
        with told():
            found = await client.distance(opened(target), opened(candidate), profile=profile)
        return Compared(profile=profile, distance=float(found))

    @server.tool(structured_output=False)
    async def heatmap(target: str, candidate: str, profile: str = "lpips") -> list[Image | str]:
        """Where a candidate image differs from its target: the map over the candidate, light where they differ most."""
        with told():
            drawn = await client.heatmap(opened(target), opened(candidate), profile=profile, style="overlay")
        unplaced = f"; {drawn.unplaced:.0%} of it has no place" if drawn.unplaced else ""
        return [Image(data=drawn.content, format="png"), f"distance {drawn.distance:.4f}{unplaced}"]

    return server


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve on stdio until the agent closes it. The API key is the environment's `CLPIPS_KEY`."""
    parser = argparse.ArgumentParser(prog="clpips-mcp", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--address", default="http://localhost:8000", help="the CLPIPS service")
    parser.add_argument("--folder", type=Path, action="append", help="images may be read there; may be repeated")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds that an answer may take")
    options = parser.parse_args(arguments)
    folders: list[Path] = options.folder or [Path.cwd()]
    for folder in folders:
        if not folder.is_dir():
            parser.error(f"there is no folder {folder}")
    try:
        client = AsyncClient(options.address, timeout=options.timeout, patience=5.0)
    except ValueError as error:
        parser.error(str(error))
    server_of(client, folders).run("stdio")


if __name__ == "__main__":
    main()
