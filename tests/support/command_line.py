"""Commands of the command line, run in this process, and pictures for them."""

import json
from pathlib import Path
from typing import Any

import pytest

from clpips.models.cli.commands import main
from tests.support.pictures import encode, picture, variation


def picture_folder(folder: Path) -> Path:
    """The folder, with a target, three candidates from near to far, and things that are no images."""
    target = picture(1, 96)
    (folder / "target.png").write_bytes(encode(target))
    for name, strength in (("far.webp", 0.9), ("near.jpg", 0.1), ("middle.bmp", 0.4)):
        format_ = {"webp": "WEBP", "jpg": "JPEG", "bmp": "BMP"}[name.split(".")[1]]
        (folder / name).write_bytes(encode(variation(target, 2, strength), format_))
    (folder / "wide.png").write_bytes(encode(picture(1, 96, 120)))
    (folder / "notes.txt").write_text("no image")
    (folder / "cut.png").write_bytes(encode(target)[:400])
    return folder


def run(*arguments: str) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command prints for programs."""
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)
