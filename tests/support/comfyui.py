"""A real ComfyUI with our pack in it, driven as its own page drives it: `/prompt`, `/history`, `/interrupt`, `/ws`."""

import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.support.manifests import ROOT
from tests.support.processes import environment
from tests.support.replicas import free_port

PACK = ROOT / "clients" / "comfyui"
FOLDER = os.environ.get("CLPIPS_TEST_COMFYUI", "")
needs_comfyui = pytest.mark.skipif(
    not FOLDER, reason="needs ComfyUI: `make comfyui` gets it, then CLPIPS_TEST_COMFYUI=build/comfyui"
)

Prompt = dict[str, dict[str, Any]]
Link = list[Any]  # the id of a node, and the number of its output


class Failed(Exception):  # noqa: N818 - what a person sees of a node
    """A node has ended with an error, or the prompt was refused."""


class Graph:
    """A workflow as `/prompt` takes it, which grows node by node."""

    def __init__(self) -> None:
        self.prompt: Prompt = {}
        self._ids = itertools.count(1)

    def add(self, kind: str, **inputs: Any) -> str:
        """A node of this class; its id."""
        name = str(next(self._ids))
        self.prompt[name] = {"class_type": kind, "inputs": inputs}
        return name

    def colours(self, *levels: tuple[int, int, int], side: int = 64) -> Link:
        """A batch of images of one colour each."""
        links: list[Link] = []
        for red, green, blue in levels:
            colour = red * 65536 + green * 256 + blue
            links.append([self.add("EmptyImage", width=side, height=side, batch_size=1, color=colour), 0])
        batch = links[0]
        for link in links[1:]:
            batch = [self.add("ImageBatch", image1=batch, image2=link), 0]
        return batch

    def show(self, node: str, output: int) -> str:
        """A node that shows what comes of an output as text."""
        return self.add("PreviewAny", source=[node, output])


WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


def prompt_of(workflow: dict[str, Any], known: dict[str, Any]) -> Prompt:
    """A saved workflow as `/prompt` takes it, as ComfyUI's page makes it by what it knows of nodes (`/object_info`).

    A link names the output that it comes from; values of widgets stand in the order of the node's inputs.
    """
    sources: dict[int, Link] = {link: [str(node), output] for link, node, output, *_ in workflow["links"]}
    prompt: Prompt = {}
    for node in workflow["nodes"]:
        described = known[node["type"]]["input"]
        values = iter(node["widgets_values"])
        inputs: dict[str, Any] = {}
        for name, (kind, *options) in {**described.get("required", {}), **described.get("optional", {})}.items():
            socket = options and options[0].get("forceInput")
            if (isinstance(kind, list) or kind in WIDGETS) and not socket:
                inputs[name] = next(values)
        assert not list(values), f"{node['type']} has fewer widgets"
        inputs |= {one["name"]: sources[one["link"]] for one in node["inputs"] if one["link"] is not None}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


class ComfyUI:
    """A running one."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self.log = log
        self.http = httpx.Client(base_url=url, timeout=60)

    def queue(self, prompt: Prompt, client: str = "") -> str:
        """Put a prompt into the queue; its id. Raises `Failed` where it is refused."""
        reply = self.http.post("/prompt", json={"prompt": prompt, "client_id": client})
        if reply.status_code != 200:
            raise Failed(reply.text)
        name: str = reply.json()["prompt_id"]
        return name

    def wait(self, name: str, seconds: float = 100) -> dict[str, Any]:
        """What came of a prompt. Raises `Failed` with the node's own words."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.http.get(f"/history/{name}").json().get(name)
            if found is not None:
                for kind, told in found["status"]["messages"]:
                    if kind == "execution_error":
                        raise Failed(f"{told['exception_type']}: {told['exception_message']}")
                entry: dict[str, Any] = found
                return entry
            time.sleep(0.05)  # another process is what is waited for
        raise AssertionError(f"no end after {seconds} s: {self.log.read_text()[-3000:]}")

    def messages(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """What happened to a prompt that has ended: kinds, and what is told of each, with the time in milliseconds."""
        told = self.http.get(f"/history/{name}").json()[name]["status"]["messages"]
        return [(kind, said) for kind, said in told]

    def run(self, graph: Graph) -> dict[str, Any]:
        """The outputs of a workflow's nodes, by their ids."""
        outputs: dict[str, Any] = self.wait(self.queue(graph.prompt))["outputs"]
        return outputs

    def image(self, saved: dict[str, str]) -> bytes:
        """The file of an image that a node has saved."""
        return self.http.get("/view", params=saved).raise_for_status().content

    @contextmanager
    def watching(self, client: str) -> Iterator[Iterator[dict[str, Any] | bytes]]:
        """What the page is told over its socket: messages, and previews as bytes."""
        with connect(f"{self.url.replace('http', 'ws')}/ws?clientId={client}", max_size=None) as socket:
            yield (part if isinstance(part, bytes) else json.loads(part) for part in socket)


@contextmanager
def comfyui(base: Path, **variables: str) -> Iterator[ComfyUI]:
    """ComfyUI with the pack, and with folders of its own for all that it writes."""
    for folder in ("custom_nodes", "input", "output", "temp", "user", "models"):
        (base / folder).mkdir()
    (base / "custom_nodes" / "clpips").symlink_to(PACK)
    port = free_port()
    command: list[str | Path] = [
        f"{FOLDER}/.venv/bin/python",
        ROOT / "tests" / "support" / "comfyui_main.py",
        FOLDER,
        *("--cpu", "--listen", "127.0.0.1", "--port", str(port), "--base-directory", base, "--disable-api-nodes"),
        *("--preview-method", "auto", "--database-url", "sqlite:///:memory:"),
    ]
    inherited = environment(**variables)
    inherited.pop("PYTHONPATH", None)  # it has the client that was installed
    log = base / "log"
    with log.open("w") as out:
        process = subprocess.Popen(command, env=inherited, stdout=out, stderr=subprocess.STDOUT)
    running = ComfyUI(f"http://127.0.0.1:{port}", log)
    try:
        while True:
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                running.http.get("/system_stats").raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.1)  # another process is what is waited for
        yield running
    finally:
        running.http.close()
        process.kill()
        process.wait()
