"""Command line of the service: `clpips serve`, `migrate` and `key`, added to the commands of the metric."""

import asyncio
import os
from pathlib import Path
from typing import get_args

import rich_click as click

from clpips.models.cli.commands import commands, main
from clpips.models.engines.contract import EngineError, EngineName, Precision
from clpips.models.engines.devices import devices_of
from clpips.service.admission.keys import SCOPES, KeyScope, new_key
from clpips.service.settings import Settings, SettingsError

__all__ = ["main"]


class BadSetting(click.ClickException):
    """A setting that is unknown or cannot be used."""

    exit_code = 2


def _devices(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else ",".join(devices_of(value))
    except EngineError as error:
        raise click.BadParameter(str(error)) from error


@commands.command("serve")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [default: 8000]")
@click.option("--engine", type=click.Choice(get_args(EngineName)), help="What computes.  [default: auto]")
@click.option(
    "--device",
    callback=_devices,
    help="Where it computes: auto, cpu, cuda, or cards like cuda:0,cuda:1.  [default: auto]",
)
@click.option(
    "--precision", type=click.Choice(get_args(Precision)), help="float32, or bfloat16 (PyTorch).  [default: exact]"
)
def serve_command(
    host: str | None, port: int | None, engine: str | None, device: str | None, precision: str | None
) -> None:
    """Serve the metric over HTTP.

    Every setting is an environment variable `CLPIPS_…`; options win over them. `/schema` documents the API.
    """
    from clpips.service.server import serve  # the other commands do without a web framework
    from clpips.service.storage.errors import StorageError

    try:
        serve(
            Settings.from_environment(
                os.environ, host=host, port=port, engine=engine, device=device, precision=precision
            )
        )
    except (SettingsError, StorageError) as error:
        raise BadSetting(str(error)) from error


@commands.command()
def migrate() -> None:
    """Bring the database's schema to this version's.

    `CLPIPS_DATABASE_URL` names the database. PostgreSQL needs this once for each new version, before it is served; an
    SQLite file is brought up to date at each start.
    """
    from clpips.service.storage.database import Database
    from clpips.service.storage.errors import StorageError
    from clpips.service.storage.schema import newest_revision

    async def run() -> None:
        database = Database(Settings.from_environment(os.environ).database_url)
        try:
            before = await database.revision()
            await database.migrate()
        except StorageError as error:
            raise StorageError(f"{database}, which CLPIPS_DATABASE_URL names: {error}") from error
        finally:
            await database.close()
        moved = (
            f"from revision {before or 'none'} to {newest_revision()}" if before != newest_revision() else "up to date"
        )
        click.echo(f"{database}: {moved}")

    try:
        asyncio.run(run())
    except (SettingsError, StorageError) as error:
        raise BadSetting(str(error)) from error


@commands.command()
@click.argument("copy", type=click.Path(dir_okay=False, path_type=Path))
def backup(copy: Path) -> None:
    """Copy the SQLite database to the file COPY, whole, while a service writes to it.

    `CLPIPS_DATABASE_URL` names the database. PostgreSQL has `pg_dump` for this.
    """
    from clpips.service.storage.backup import back_up
    from clpips.service.storage.errors import StorageError

    try:
        rows = back_up(Settings.from_environment(os.environ).database_url, copy)
    except (SettingsError, StorageError) as error:
        raise BadSetting(str(error)) from error
    click.echo(f"{copy}: {rows['profiles']:,} profiles, {rows['rankings']:,} rankings")


@commands.command()
@click.argument("name")
@click.option("--tenant", default="default", show_default=True, help="Whose profiles the key opens.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=("score", "teach"),
    show_default=True,
    help="What it may do; give it several times. score: rank and look at profiles. teach: make, teach and "
    "download them. admin: delete them, upload weights.",
)
@click.option("--expires", help="From when on it opens nothing: a date (UTC), or a moment like 2027-01-31T12:00:00Z.")
def key(name: str, tenant: str, scopes: tuple[KeyScope, ...], expires: str | None) -> None:
    """Make an API key called NAME.

    The key is printed once and kept nowhere. The service is told the line below it, in the file that
    `CLPIPS_API_KEYS_FILE` names or in `CLPIPS_API_KEYS`.
    """
    try:
        secret, line = new_key(name, tenant, scopes, expires)
    except SettingsError as error:
        raise BadSetting(str(error)) from error
    click.echo(f"key for the client:      {secret}")
    click.echo(f"line for the service:    {line}")


if __name__ == "__main__":
    main()
