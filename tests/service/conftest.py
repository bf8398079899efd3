"""A service of its own for each test."""

import pytest

from service_server import ADMIN, KEY, Server, make_root


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


@pytest.fixture
def guarded(make_server, tmp_path):
    """One that asks for keys; `key` is a user's, ADMIN an operator's."""
    keys = tmp_path / "keys"
    keys.write_text(f"# a comment\n{KEY}\nadmin {ADMIN}\n")
    keys.chmod(0o600)
    server = make_server("--api-key-file", str(keys))
    server.key = KEY
    return server
