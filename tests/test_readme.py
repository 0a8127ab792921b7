"""The README says what the code does: its settings and its commands exist, and none is missing."""

import re
from pathlib import Path

import rich_click as click

import clpips.service.cli
from clpips.models.cli.commands import commands
from clpips.service.settings import SETTINGS, Setting

assert callable(clpips.service.cli.main)  # importing it adds `serve` to the commands
PATH = Path(__file__).parent.parent / "README.md"
README = PATH.read_text()
TABLE = re.compile(r"^\| `CLPIPS_.*\|$", re.MULTILINE)


def row(setting: Setting) -> str:
    default = "" if setting.default is None else f"`{setting.default}`"
    return f"| `{setting.variable}` | {default} | {setting.description} |"


def test_every_setting_is_in_the_table_with_its_default() -> None:
    expected = [row(setting) for setting in SETTINGS.values()]
    assert TABLE.findall(README) == expected, "write the table again: python -m tests.test_readme"


def test_every_command_of_the_readme_exists_and_none_is_missing() -> None:
    section = README.split("## The command line")[1].split("## ")[0]
    named = re.findall(r"^clpips (\w+)", section, re.MULTILINE)
    assert sorted(named) == sorted(commands.list_commands(click.Context(commands)))


def test_every_option_of_the_readme_exists() -> None:
    section = README.split("## The command line")[1].split("## ")[0]
    for name, rest in re.findall(r"^clpips (\w+) (.*)$", section, re.MULTILINE):
        options = {option for parameter in commands.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options, name


if __name__ == "__main__":
    before, _, rest = README.partition(TABLE.findall(README)[0])
    after = rest.rpartition(TABLE.findall(README)[-1])[2]
    PATH.write_text(before + "\n".join(map(row, SETTINGS.values())) + after)
