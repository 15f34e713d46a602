"""Every case here is asked of the fake API server and of the real one (tests.fakes.either_server)."""

import pytest

from tests.fakes.either_server import BOTH, Server, new_name, send_other_operators_away, server_of


@pytest.fixture(scope="session", autouse=True)
def no_other_operator(request: pytest.FixtureRequest) -> None:
    send_other_operators_away(request)


@pytest.fixture(params=BOTH)
def server(request: pytest.FixtureRequest) -> Server:
    return server_of(request)


@pytest.fixture
def name() -> str:
    return new_name()
