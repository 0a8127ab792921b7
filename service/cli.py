"""`clpips serve`, added to the commands of the metric: the service knows the metric, the metric not the service."""

import os
from typing import get_args

import rich_click as click

from models.cli import commands, main
from models.engines import EngineName, Precision
from service.settings import Settings, SettingsError

__all__ = ["main"]


class BadSetting(click.ClickException):
    """A setting that is unknown or cannot be used."""

    exit_code = 2


@commands.command()
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [default: 8000]")
@click.option("--engine", type=click.Choice(get_args(EngineName)), help="What computes.  [default: auto]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where it computes.  [default: auto]")
@click.option(
    "--precision", type=click.Choice(get_args(Precision)), help="float32, or bfloat16 (PyTorch).  [default: exact]"
)
def serve(host: str | None, port: int | None, engine: str | None, device: str | None, precision: str | None) -> None:
    """Serve the metric over HTTP.

    Every setting is an environment variable `CLPIPS_…`; options win over them. `/schema` documents the API.
    """
    from service.server import serve as run  # the other commands do without a web framework

    try:
        run(
            Settings.from_environment(
                os.environ, host=host, port=port, engine=engine, device=device, precision=precision
            )
        )
    except SettingsError as error:
        raise BadSetting(str(error)) from error


if __name__ == "__main__":
    main()
