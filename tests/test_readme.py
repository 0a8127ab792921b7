"""The README says what the code does: its settings and its commands exist, and none is missing."""

import re
from pathlib import Path

import rich_click as click

import service.cli
from models.cli import commands
from service.settings import SETTINGS, Setting

assert callable(service.cli.main)  # importing it adds `serve` to the commands
README = (Path(__file__).parent.parent / "README.md").read_text()


def row(setting: Setting) -> str:
    default = "" if setting.default is None else f"`{setting.default}`"
    return f"| `{setting.variable}` | {default} | {setting.description} |"


def test_every_setting_is_in_the_table_with_its_default() -> None:
    expected = [row(setting) for setting in SETTINGS.values()]
    table = [line for line in README.splitlines() if line.startswith("| `CLPIPS_")]
    assert table == expected, "the table under ## Settings should be:\n" + "\n".join(expected)


def test_every_command_of_the_readme_exists_and_none_is_missing() -> None:
    section = README.split("## The command line")[1].split("## ")[0]
    named = re.findall(r"^clpips (\w+)", section, re.MULTILINE)
    assert sorted(named) == sorted(commands.list_commands(click.Context(commands)))


def test_every_option_of_the_readme_exists() -> None:
    section = README.split("## The command line")[1].split("## ")[0]
    for name, rest in re.findall(r"^clpips (\w+) (.*)$", section, re.MULTILINE):
        options = {option for parameter in commands.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options, name
