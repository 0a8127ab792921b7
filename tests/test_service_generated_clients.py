"""The proof of the API document: clients that others' generators make of it rank, teach and handle a 409."""

import base64
import hashlib
import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.colours import ColourEngine, flat
from tests.support.documents import ROOT, blocks
from tests.support.services import listening

RECIPES = ROOT / "docs" / "recipes.md"
PROGRAMS = Path(__file__).parent / "support" / "clients"
NODE_MODULES = PROGRAMS / "node_modules"
PYTHON = PROGRAMS / ".venv" / "bin" / "python"
GENERATOR = PYTHON.with_name("openapi-python-client")
INSTALL = "needs the generators of clients: `make clients` installs them, with npm"

RED, ORANGE, BLUE = (flat(colour) for colour in ((200, 30, 30), (230, 120, 30), (30, 60, 200)))
# The hash that names the target before it is sent, then the images in base64: the target and the candidates.
ARGUMENTS = [
    "sha256:" + hashlib.sha256(RED).hexdigest(),
    *(base64.b64encode(one).decode() for one in (RED, BLUE, ORANGE)),
]


@pytest.fixture
def url() -> Iterator[str]:
    with listening(ColourEngine()) as url:
        yield url


@pytest.fixture
def folder(url: str, tmp_path: Path) -> Path:
    """A folder with the API document as the service gives it."""
    (tmp_path / "openapi.json").write_bytes(httpx.get(f"{url}/schema/openapi.json").content)
    return tmp_path


def run(folder: Path, *command: str | Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr + done.stdout


def assert_ranked_and_taught(report: str) -> None:
    """What both programs tell: all of it as the service means it."""
    assert json.loads(report.splitlines()[-1]) == {
        "again": [409, "urn:problem-type:clpips:profile-exists"],
        "unsent": [409, "urn:problem-type:clpips:images-not-held", ["/target"]],
        "json": [1, 0],
        "form": [1, 0],
        "taught": [1, 1, 1],
    }


@pytest.mark.skipif(not NODE_MODULES.exists() or not shutil.which("node"), reason=INSTALL)
def test_a_typescript_client_compiles_strictly_ranks_and_teaches(url: str, folder: Path) -> None:
    for name in ("client.ts", "tsconfig.json", "package.json"):
        shutil.copy(PROGRAMS / name, folder)
    (folder / "node_modules").symlink_to(NODE_MODULES)
    (recipe,) = (block for block in blocks(RECIPES) if block.test == "tests/test_service_generated_clients.py")
    _, generator, *options = shlex.split(recipe.text.splitlines()[-1])
    run(folder, NODE_MODULES / ".bin" / generator, *options)
    run(folder, NODE_MODULES / ".bin" / "tsc", "--project", ".")
    assert_ranked_and_taught(run(folder, "node", "client.js", url, *ARGUMENTS))


@pytest.mark.skipif(not GENERATOR.exists(), reason=INSTALL)
def test_a_python_client_is_made_without_a_warning_ranks_and_teaches(url: str, folder: Path) -> None:
    for name in ("client.py", "generate.yaml"):
        shutil.copy(PROGRAMS / name, folder)
    generate = [
        "generate",
        "--path",
        "openapi.json",
        "--meta",
        "none",
        "--output-path",
        "generated",
        "--config",
        "generate.yaml",
    ]
    warnings = run(folder, GENERATOR, *generate)
    # It has no MessagePack, and no pictures for answers, and says so; there must be nothing else that it leaves out.
    unsupported = warnings.count("Unsupported content type application/vnd.msgpack")
    pictures = warnings.count("Unsupported content_type image/png, application/x-npy")
    thumbnails = warnings.count("Unsupported content_type image/webp")
    assert warnings.count("WARNING parsing") == unsupported + pictures + thumbnails, warnings
    assert (unsupported > 0, pictures, thumbnails) == (True, 2, 1)  # heat maps of two operations
    assert_ranked_and_taught(run(folder, PYTHON, "client.py", url, *ARGUMENTS))
