"""`Client.local`: the service in the caller's own process."""

import pytest
from clpips_client import AsyncClient, Client

from tests.support.client_service import CANDIDATES, TARGET


def test_the_service_can_run_in_the_callers_own_process() -> None:
    with Client.local(convolution="direct") as client:
        assert client.rank(TARGET, CANDIDATES).best.index == 5
        assert client.profiles.create("ada").name == "ada"


async def test_and_so_it_can_beside_an_event_loop() -> None:
    async with await AsyncClient.local(convolution="direct") as client:
        assert (await client.rank(TARGET, CANDIDATES)).best.index == 5


def test_a_setting_that_cannot_be_used_is_said_so() -> None:
    with pytest.raises(TypeError, match="colour"):
        Client.local(colour="red")
    for wrong in ({"engine": "nope"}, {"max_images": "many"}, {"port": -1}):
        with pytest.raises(ValueError, match=f"cannot be used: .*{next(iter(wrong))}"):
            Client.local(**wrong)


async def test_closing_a_client_with_another_timeout_leaves_its_origins_connections_open() -> None:
    with Client.local(convolution="direct") as client:
        with client.within(30) as other:
            assert other.profiles.list().profiles == ()
        assert client.profiles.list().profiles == ()
    async with await AsyncClient.local(convolution="direct") as client_of_loop:
        async with client_of_loop.within(30) as other_of_loop:
            await other_of_loop.profiles.list()
        assert (await client_of_loop.profiles.list()).profiles == ()
