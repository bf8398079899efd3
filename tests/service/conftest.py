"""A service of its own for each test."""

import pytest

from service_server import Server, make_root


@pytest.fixture
def make_server(tmp_path):
    """make_server(*options) starts one; `start=False` leaves that to the test."""
    made = []
    make_root(tmp_path)

    def make(*options, start=True, **more):
        server = Server(tmp_path, *options, **more)
        made.append(server)
        return server.start() if start else server

    yield make
    for server in made:
        if server.process and server.process.poll() is None:
            server.kill()


@pytest.fixture
def server(make_server):
    return make_server()
