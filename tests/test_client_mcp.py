"""The MCP server, by the official SDK's own client, over stdio as an agent starts it."""

import base64
import io
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from clpips_client import AsyncClient, Client
from clpips_client.mcp_server import main, server_of
from mcp import Client as Agent
from mcp import StdioServerParameters
from mcp.types import ImageContent, TextContent
from PIL import Image

from tests.support import client_service

COLOURS = {"target.png": 100, "near.png": 110, "far.png": 200, "same.png": 100}

url = client_service.url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    for name, blue in COLOURS.items():
        Image.new("RGB", (64, 64), (100, 100, blue)).save(images / name)
    Image.new("RGB", (64, 64)).save(tmp_path / "private.png")
    (images / "link.png").symlink_to(tmp_path / "private.png")
    return images


@asynccontextmanager
async def agent(url: str, folder: Path) -> AsyncIterator[Agent]:
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "clpips_client.mcp_server", "--address", url, "--folder", str(folder), "--timeout", "30"],
        env=dict(os.environ),
    )
    async with Agent(server) as client:
        yield client


async def test_an_agent_finds_the_tools_ranks_compares_and_looks(url: str, folder: Path) -> None:
    async with agent(url, folder) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools.keys() == {"rank", "distance", "heatmap"}
        assert all(tool.description for tool in tools.values())

        ranked = await client.call_tool(
            "rank", {"target": "target.png", "candidates": ["far.png", "same.png", str(folder / "near.png")]}
        )
        assert not ranked.is_error
        told = ranked.structured_content
        assert told is not None
        assert [one["candidate"] for one in told["ranking"]] == ["same.png", str(folder / "near.png"), "far.png"]
        assert [one["rank"] for one in told["ranking"]] == [1, 2, 3]

        compared = await client.call_tool(
            "distance", {"target": told["target"], "candidate": told["ranking"][2]["name"]}
        )
        assert compared.structured_content is not None
        with Client(url) as direct:
            expected = float(direct.distance(folder / "target.png", folder / "far.png"))
            drawn = direct.heatmap(folder / "target.png", folder / "far.png", style="overlay")
        assert compared.structured_content["distance"] == pytest.approx(expected) == told["ranking"][2]["distance"]

        looked = await client.call_tool("heatmap", {"target": "target.png", "candidate": "far.png"})
        picture, text = looked.content
        assert isinstance(picture, ImageContent)
        assert isinstance(text, TextContent)
        assert picture.mime_type == "image/png"
        assert base64.b64decode(picture.data) == drawn.content
        assert Image.open(io.BytesIO(drawn.content)).size == (256, 256)
        assert text.text.startswith(f"distance {expected:.4f}")


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("../private.png", "alone"),
        ("link.png", "alone"),
        ("/etc/hostname", "alone"),
        ("missing.png", "no such file"),
        ("a\0b", "no path"),
        (".", "no such file"),
        ("sha256:" + "0" * 64, "sha256"),
    ],
)
async def test_what_may_not_be_read_or_is_not_there_is_said_to_the_agent(
    url: str, folder: Path, image: str, said: str
) -> None:
    async with agent(url, folder) as client:
        refused = await client.call_tool("distance", {"target": "target.png", "candidate": image})
    assert refused.is_error
    (text,) = refused.content
    assert isinstance(text, TextContent)
    assert said in text.text


async def test_an_image_may_lie_in_any_of_the_folders(url: str, folder: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    Image.new("RGB", (64, 64), (100, 100, 100)).save(more / "another.png")
    client = AsyncClient(url)
    server = server_of(client, [folder, more])
    async with Agent(server) as agent_inside:
        images = {"target": "target.png", "candidate": "another.png"}
        compared = await agent_inside.call_tool("distance", images)
        refused = await agent_inside.call_tool("distance", {**images, "candidate": "../private.png"})
    await client.aclose()
    assert compared.structured_content == {"profile": "lpips", "distance": 0.0}
    assert refused.is_error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--folder", "nowhere"], "no folder nowhere"),
        (["--address", "ftp://host"], "is not like http://localhost:8000"),
    ],
)
def test_what_it_cannot_be_started_with_is_said_in_a_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert said in capsys.readouterr().err


async def test_a_service_that_is_not_there_is_said_to_the_agent(folder: Path) -> None:
    async with agent("http://127.0.0.1:9", folder) as client:
        refused = await client.call_tool("distance", {"target": "target.png", "candidate": "near.png"})
    assert refused.is_error
    assert isinstance(refused.content[0], TextContent)
    assert "cannot be reached" in refused.content[0].text
