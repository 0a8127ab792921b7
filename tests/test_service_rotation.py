"""API keys change while the service runs, and end when they are said to."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

import clpips.service.cli
from clpips.models.cli.commands import commands
from clpips.service.admission.access import Access
from clpips.service.admission.keys import new_key, parse_keys
from clpips.service.admission.rotation import follow_keys
from clpips.service.problems import Unauthenticated
from clpips.service.settings import Settings, SettingsError
from tests.support.services import serving

OLD, NEW = (new_key(name, "studio", ("score",)) for name in ("old", "new"))


def opens(access: Access, secret: str) -> bool:
    try:
        access.caller(f"Bearer {secret}")
    except Unauthenticated:
        return False
    return True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - another task reads a file
            await asyncio.sleep(0.005)


async def test_a_changed_file_of_keys_is_in_force_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(OLD[1])
    settings = Settings(api_keys_file=file)
    access = Access.from_settings(settings)
    following = asyncio.create_task(follow_keys(settings, access, check_seconds=0.01))
    try:
        await asyncio.sleep(0)
        assert (opens(access, OLD[0]), opens(access, NEW[0])) == (True, False)
        file.write_text(f"{OLD[1]}\n{NEW[1]}\n")
        await until(lambda: opens(access, NEW[0]))
        assert opens(access, OLD[0])
        other = tmp_path / "other"  # as Kubernetes and editors replace a file
        other.write_text(NEW[1])
        other.replace(file)
        await until(lambda: not opens(access, OLD[0]))
        assert opens(access, NEW[0])
    finally:
        following.cancel()


@pytest.mark.parametrize("slip", ["", "# all gone\n", "no key at all\n", None])
async def test_a_slip_in_the_file_lets_nobody_in_and_locks_nobody_out(tmp_path: Path, slip: str | None) -> None:
    file = tmp_path / "keys"
    file.write_text(OLD[1])
    settings = Settings(api_keys_file=file)
    access = Access.from_settings(settings)
    with capture_logs() as logs:
        following = asyncio.create_task(follow_keys(settings, access, check_seconds=0.001))
        await asyncio.sleep(0)
        file.unlink() if slip is None else file.write_text(slip)
        await until(lambda: bool(logs))
        await asyncio.sleep(0.02)
        following.cancel()
    assert [line["log_level"] for line in logs] == ["error"], "once, and not each time"
    assert opens(access, OLD[0])
    assert not access.is_open


def test_a_key_ends_when_it_is_said_to() -> None:
    secret, line = new_key("ada", "studio", ("score",), "2027-01-31")
    now = datetime(2027, 1, 30, 23, 59, 59, tzinfo=UTC)
    access = Access(parse_keys(line, "test"), None, now=lambda: now)
    assert opens(access, secret)
    now += timedelta(seconds=1)
    with pytest.raises(Unauthenticated, match="expired"):
        access.caller(f"Bearer {secret}")


@pytest.mark.parametrize("word", ["expires=soon", "2027-01-31", "expires=", "until=2027-01-31"])
def test_an_end_that_is_no_date_is_refused(word: str) -> None:
    with pytest.raises(SettingsError, match="expires=2027-01-31"):
        parse_keys(f"{OLD[1]} {word}", "test")


def test_moments_have_their_own_time_zone() -> None:
    (key,) = parse_keys(f"{OLD[1]} expires=2027-01-31T12:00:00+02:00", "test")
    assert key.expires == datetime(2027, 1, 31, 10, tzinfo=UTC)


def test_the_key_command_writes_the_end(tmp_path: Path) -> None:
    assert callable(clpips.service.cli.main)
    done = CliRunner().invoke(commands, ["key", "ada", "--expires", "2027-01-31"])
    assert done.output.splitlines()[1].endswith(" expires=2027-01-31")
    assert CliRunner().invoke(commands, ["key", "ada", "--expires", "soon"]).exit_code == 2


def test_a_file_that_notepad_has_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"\xef\xbb\xbf" + OLD[1].encode() + b"\r\n")
    assert opens(Access.from_settings(Settings(api_keys_file=file)), OLD[0])


@pytest.mark.parametrize("asked", [True, False])
def test_the_last_use_of_a_key_is_a_metric_only_if_asked(asked: bool) -> None:
    with serving(api_keys=OLD[1], key_metrics=asked) as client:
        client.get("/profiles", headers={"authorization": f"Bearer {OLD[0]}"})
        assert ('clpips_key_last_used_timestamp_seconds{key="old"}' in client.get("/metrics").text) == asked
