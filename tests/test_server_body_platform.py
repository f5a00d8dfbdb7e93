"""With the whole platform behind it: a body is read for whoever takes it, cold or warm, and for nobody else."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import places
from tests.benchmarks.applications import name_of, trivial
from tests.proofs import raw
from tests.servers import PATIENCE, Client

LARGE = 200_000


class Town:
    """A served platform, and the paths that it was asked for."""

    def __init__(self, port: int, asked: list[str]) -> None:
        self.port = port
        self.asked = asked
        self.clients: list[Client] = []

    def post(self, host: str, more: str = "", path: str = "/") -> Client:
        self.asked.clear()
        self.clients.append(Client(self.port))
        return self.clients[-1].ask(path, host, f"Content-Length: {LARGE}\r\n{more}", "POST")


@pytest.fixture(name="town")
def _town(tmp_path: Path) -> Iterator[Town]:
    places.fill(tmp_path, 2, name_of(trivial), {"BUILDS": str(tmp_path / "builds")})
    asked: list[str] = []
    with places.opened(tmp_path, access_log="off") as platform:

        def note(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            asked.append(environ["PATH_INFO"])
            return platform.application(environ, start)

        server = raw._server(platform, note)
        thread = threading.Thread(target=server.run)
        thread.start()
        town = Town(server.port, asked)
        try:
            yield town
        finally:
            server.stop()
            for client in town.clients:
                client.close()
            thread.join(PATIENCE)


@pytest.mark.parametrize("more", ["", "Expect: 100-continue\r\n"])
def test_a_cold_tenant_gets_a_large_body_and_a_warm_one_at_once(town: Town, more: str) -> None:
    """Its host is found first, then the body is read, then the application is built, if it has to be, and asked."""
    for turn in range(2):
        client = town.post(places.host(0), more)
        if more:
            assert client.head()[0] == 100
        assert client.send(bytes(LARGE)).answer()[2] == b"hello"
        if turn:
            assert town.asked == ["/"]
        else:
            assert len(town.asked) > 1


@pytest.mark.parametrize("more", ["", "Expect: 100-continue\r\n"])
def test_an_unknown_host_gets_its_page_and_its_body_is_not_read(town: Town, more: str) -> None:
    """The answer is the gateway's own, 404, and the last one of the connection."""
    client = town.post(places.host(77), more)
    status, headers, body = client.answer()
    assert (status, headers["connection"]) == (404, "close")
    assert b"look at the address once more" in body
    client.send(bytes(1000))
    assert client.closed()
    assert town.asked == ["/"]
