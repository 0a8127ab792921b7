"""What the README and docs/ say of the code is so: settings, commands, routes, files, extras; links lead somewhere."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import rich_click as click
from litestar.testing import TestClient

import clpips.service.cli
from clpips.models.cli.commands import commands
from clpips.service.settings import SETTINGS, Setting
from tests.support.documents import DEPLOY, PAGES, ROOT, WEIGHTS, blocks, named, prose

assert callable(clpips.service.cli.main)  # importing it adds `serve` to the commands
README = ROOT / "README.md"
SETTINGS_PAGE = ROOT / "docs" / "settings.md"
SETTINGS_TABLE = re.compile(r"^\| `CLPIPS_.*\|$", re.MULTILINE)
ALL = [*PAGES, DEPLOY, WEIGHTS]


def row(setting: Setting) -> str:
    default = "" if setting.default is None else f"`{setting.default}`"
    return f"| `{setting.variable}` | {default} | {setting.description} |"


def test_every_setting_is_in_the_table_with_its_default() -> None:
    expected = [row(setting) for setting in SETTINGS.values()]
    assert SETTINGS_TABLE.findall(SETTINGS_PAGE.read_text()) == expected, "write it again: python -m tests.test_docs"


@pytest.mark.parametrize("page", ALL, ids=named)
def test_every_variable_that_is_named_is_a_setting(page: Path) -> None:
    others = {
        "CLPIPS_ADDRESS",
        "CLPIPS_CACHE",
        "CLPIPS_KEY",
        "CLPIPS_TEST_GPU",
        "CLPIPS_TEST_CHROMIUM",
        "CLPIPS_SERVICE_HOST",
    }  # of commands, tests, Kubernetes
    known = SETTINGS.keys() | others
    assert set(re.findall(r"\bCLPIPS_[A-Z_]+\b", page.read_text())) <= known


def synopsis() -> list[tuple[str, str]]:
    """Each command of the command line's page, with its arguments."""
    (block,) = (block for block in blocks(ROOT / "docs" / "command-line.md") if block.language == "text")
    return re.findall(r"^clpips ([\w-]+) ?(.*)$", block.text, re.MULTILINE)


def test_every_command_is_described_and_none_is_invented() -> None:
    assert sorted(name for name, _ in synopsis()) == sorted(commands.list_commands(click.Context(commands)))


def options_of(command: click.Command) -> set[str]:
    """The options of a command, and of the commands of a group."""
    below = command.commands.values() if isinstance(command, click.Group) else []
    return {option for parameter in command.params for option in parameter.opts}.union(*map(options_of, below))


def test_every_option_that_is_named_exists() -> None:
    for name, arguments in synopsis():
        options = options_of(commands.commands[name])
        assert set(re.findall(r"--[\w-]+", arguments)) <= options, name


def test_every_route_is_described_and_none_is_invented(client: TestClient[Any]) -> None:
    paths = client.get("/schema/openapi.json").json()["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    table = re.findall(r"^\| `([A-Z]+) (/\S*)` \|", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert set(table) == served


def test_every_room_of_the_code_is_described() -> None:
    described = (ROOT / "docs" / "architecture.md").read_text()
    rooms = [path.parent for half in ("models", "service") for path in (ROOT / half).glob("*/__init__.py")]
    assert [named(room) for room in rooms if f"`{named(room)}/`" not in described] == []


@pytest.mark.parametrize("page", ALL, ids=named)
def test_every_file_that_is_named_exists(page: Path) -> None:
    folders = "clients|deploy|docs|loadtest|models|service|src|tests"
    for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", prose(page)):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", ALL, ids=named)
def test_every_module_that_is_run_exists(page: Path) -> None:
    for module in re.findall(r"python -m (loadtest[\w.]*)", page.read_text()):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


@pytest.mark.parametrize("page", ALL, ids=named)
def test_every_target_of_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= targets


@pytest.mark.parametrize("page", ALL, ids=named)
def test_every_extra_is_one_and_comes_from_a_checkout_or_a_wheel(page: Path) -> None:
    for source, names in re.findall(r"([\w.*/-]*)\[([a-z,]+)\]'", page.read_text()):
        checkout = source if source == "./clients/python" else "."
        project = tomllib.loads((ROOT / checkout / "pyproject.toml").read_text())["project"]
        assert set(names.split(",")) <= set(project["optional-dependencies"])
        assert source == checkout or source.endswith(".whl"), f"{source}: the name is not on an index"


@pytest.mark.parametrize("page", ALL, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = prose(page)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)
    for link in links:
        path, _, anchor = link.partition("#")
        if re.match(r"https?:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub and the site link to them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 170


if __name__ == "__main__":
    page = SETTINGS_PAGE.read_text()
    before, after = page.split(SETTINGS_TABLE.findall(page)[0])[0], page.split(SETTINGS_TABLE.findall(page)[-1])[1]
    SETTINGS_PAGE.write_text(before + "\n".join(map(row, SETTINGS.values())) + after)
