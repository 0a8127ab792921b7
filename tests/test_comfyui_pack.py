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
    file.write_text("# keys\n\nhttps://lab.example.org  its-key\n")
    assert key_for("https://lab.example.org", file, environment) == "its-key"
    with pytest.raises(ValueError, match="is not like"):
        key_for("ftp://host", file, environment)


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


def test_there_are_three_examples() -> None:
    assert len(WORKFLOWS) == 3
