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
