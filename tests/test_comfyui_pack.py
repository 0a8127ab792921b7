"""The node pack without ComfyUI: orders as text, keys for addresses, the registry's rules, the example workflows."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from clpips_nodes.keys import key_for
from clpips_nodes.orders import said, written
from PIL import Image

from tests.support.comfyui import PACK

SOURCES = sorted(PACK.rglob("*.py"))
WORKFLOWS = sorted((PACK / "example_workflows").glob("*.json"))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", {}),
        ("  \n", {}),
        ("2, 0, 1", {"order": [2, 0, 1]}),
        ("2 0 1", {"order": [2, 0, 1]}),
        ("2 > 0 > 1", {"order": [2, 0, 1]}),
        ("2 > 0 = 1", {"ranks": [2, 2, 1]}),
        ("1=2, 0", {"ranks": [3, 1, 1]}),
        ("best 3", {"best": 3}),
        ("Best: 3", {"best": 3}),
        ("top 3, 0", {"top": [3, 0]}),
    ],
)
def test_an_order_is_read_as_it_is_written(text: str, meant: dict[str, Any]) -> None:
    assert said(text) == meant


@pytest.mark.parametrize(
    "text", ["two, one", "2, , 1", "best 1, 2", "best", "2 = 2", "-1, 0", "3 > 0 = 1", "1.5", "9" * 7]
)
def test_what_is_no_order_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"2, 0, 1|place"):
        said(text)


def test_an_order_that_is_told_can_be_taught() -> None:
    assert said(written([3, 1, 2, 0])) == {"order": [3, 1, 2, 0]}


def test_a_key_is_for_its_address_alone(tmp_path: Path) -> None:
    file = tmp_path / "clpips.keys"
    environment = {"CLPIPS_KEY": "mine", "CLPIPS_ADDRESS": "https://clpips.example.org"}
    assert key_for("https://clpips.example.org:443/", file, environment) == "mine"
    for other in ("http://clpips.example.org", "https://evil.example.org", "https://clpips.example.org:8443"):
        assert key_for(other, file, environment) == ""
    assert key_for("localhost:8000", file, {"CLPIPS_KEY": "mine"}) == "mine"
    file.write_text("# keys\n\nhttps://lab.example.org  its-key\nhttp://other.example.org\tanother \n", "utf-8-sig")
    assert key_for("https://lab.example.org", file, environment) == "its-key"
    assert key_for("http://other.example.org:80", file, environment) == "another"


@pytest.mark.parametrize("address", ["ftp://host", "", "localhost:abc", "http://[::1", "localhost:99999", "http://"])
def test_an_address_that_is_none_is_told(address: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"the address {address!r} is not like http://localhost:8000")):
        key_for(address, tmp_path / "none", {})


@pytest.mark.parametrize("line", ["https://lab.example.org:its-key", "its-key", "ftp://host its-key"])
def test_a_line_of_keys_that_cannot_be_read_is_named_and_no_key_is_shown(line: str, tmp_path: Path) -> None:
    file = tmp_path / "clpips.keys"
    file.write_text(f"# keys\n{line}\n")
    with pytest.raises(ValueError, match=r"line 2 of .*clpips\.keys is not an address, a space and its key") as caught:
        key_for("http://localhost:8000", file, {})
    assert "its-key" not in str(caught.value)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"clpips\.keys is not text in UTF-8"):
        key_for("http://localhost:8000", file, {})


def test_it_needs_the_client_and_nothing_else() -> None:
    described = tomllib.loads((PACK / "pyproject.toml").read_text())
    project, comfy = described["project"], described["tool"]["comfy"]
    assert project["dependencies"] == ["clpips-client"]
    assert not (PACK / "requirements.txt").exists()
    assert re.fullmatch(r"[a-z][a-z0-9._-]{0,99}", project["name"])
    assert "comfyui" not in project["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert (PACK / project["license"]["file"]).read_bytes() == (PACK.parent.parent / "LICENSE").read_bytes()
    assert comfy["DisplayName"]
    assert (PACK / comfy["Icon"]).read_text().startswith("<svg")


def test_what_the_registry_reads_of_it_has_its_form() -> None:
    described = tomllib.loads((PACK / "pyproject.toml").read_text())
    wanted = r"(?:(==|>=|<=|!=|~=|>|<|<>|=)\s*)?\d+\.\d+\.\d+(?:-[a-zA-Z0-9]+)?"  # by comfy-cli's `node validate`
    assert all(re.fullmatch(wanted, part) for part in described["tool"]["comfy"]["requires-comfyui"].split(","))
    assert re.fullmatch(wanted, described["project"]["version"])
    assert described["tool"]["comfy"]["PublisherId"]
    assert not any(
        each.startswith(("Operating System", "Environment")) for each in described["project"].get("classifiers", [])
    )


# The registry's standards: no text is run as code, nothing is installed while it runs, nothing is obfuscated.
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "system", "popen", "Popen", "import_module", "b64decode"}
MODULES = {
    "__future__",
    "asyncio",
    "collections",
    "concurrent",
    "dataclasses",
    "functools",
    "io",
    "math",
    "os",
    "pathlib",
}
MODULES |= {
    "re",
    "threading",
    "typing",
    "urllib",
    "clpips_client",
    "comfy",
    "comfy_api",
    "comfy_execution",
    "folder_paths",
}
MODULES |= {"numpy", "torch", "PIL"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_it_runs_no_text_and_starts_no_process(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if not (called == "compile" and isinstance(node.func, ast.Attribute)):  # `re.compile`
                assert called not in FORBIDDEN_CALLS
        if isinstance(node, ast.Import):
            assert {each.name.partition(".")[0] for each in node.names} <= MODULES
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").partition(".")[0] in MODULES


# `make test` installs no linter; `make dev`, and so CI, does.
@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="needs ruff: make dev")
def test_the_registrys_security_rules_hold() -> None:
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "S102,S307,E702", str(PACK)]
    assert subprocess.run(ruff, check=False).returncode == 0


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_it_is_written_for_python_3_10(source: Path) -> None:
    ast.parse(source.read_text(), feature_version=(3, 10))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_an_example_is_wired_and_holds_no_key(workflow: Path) -> None:
    told = json.loads(workflow.read_text())
    nodes = {node["id"]: node for node in told["nodes"]}
    for name, source, output, sink, place, kind in told["links"]:
        assert name in nodes[source]["outputs"][output]["links"]
        assert nodes[source]["outputs"][output]["type"] == kind
        assert nodes[sink]["inputs"][place]["link"] == name
        assert nodes[sink]["inputs"][place]["type"] in (kind, "*")
    assert "Bearer" not in workflow.read_text()


def test_the_readme_shows_the_nodes_and_what_it_shows_comes_with_the_pack() -> None:
    (shown,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (PACK / "README.md").read_text())
    picture = PACK / shown
    assert picture.resolve().is_relative_to(PACK)
    assert picture.stat().st_size < 200_000
    with Image.open(picture) as image:
        assert image.width > 1000


def test_there_are_three_examples() -> None:
    assert len(WORKFLOWS) == 3
