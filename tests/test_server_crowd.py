"""A crowd keeps nobody out who has something to ask, and no descriptor too few brings the server down."""

import logging
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tenantry.server import crowd as crowds
from tests import servers
from tests.servers import PATIENCE, Client, Site, Town, hello, serving, until

town = servers.town


def ask(site: Site, client: Client) -> None:
    """Ask for something, and wait until the server has put the request away as well."""
    assert client.ask("/").answer()[0] == 200
    until(lambda: all(channel.quiet() for channel in site.channels()))


def test_at_the_limit_the_longest_idle_connection_leaves_for_a_new_one() -> None:
    """Whoever has something to ask gets in; who has been silent the longest is closed."""
    with serving(hello, connections=3) as site:
        first, second, third = clients = [site.client() for _ in range(3)]
        for client in (*clients, first):
            ask(site, client)
        crowd = site.server._listeners[0].crowd

        def search_anew() -> None:
            crowd._idle.clear()
            crowd._next_search = 0.0

        site.on_loop(search_anew)
        assert site.ask("/").answer()[0] == 200
        assert second.closed()
        assert [client.ask("/").answer()[0] for client in (first, third)] == [200, 200]
        assert len(site.channels()) == 3


def test_when_all_connections_are_busy_the_next_waits_until_one_is_not(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody who is being served is closed for somebody new, and it is told once."""
    with serving(town, connections=3, threads=4) as site, caplog.at_level(logging.WARNING, "tenantry.server"):
        busy = [site.ask("/hold", host) for host in ("one", "two", "three")]
        site.load(running=3)
        late = site.ask("/")
        until(lambda: site.server._listeners[0].crowd.full)
        assert len(site.channels()) == 3
        town.release.set()
        assert [client.answer()[0] for client in (*busy, late)] == [200] * 4
        until(lambda: not site.server._listeners[0].crowd.full)
    assert sum("are busy" in record.getMessage() for record in caplog.records) == 1


def test_a_header_that_trickles_gives_way_and_one_that_runs_does_not(town: Town) -> None:
    """As many slow headers as there may be connections keep nobody out."""
    with serving(town, connections=3, send_wait=0.4) as site:
        site.ask("/hold")
        site.load(running=1)
        trickling = [site.client().send(b"GET / HT") for _ in range(2)]
        until(lambda: sum(channel.begun() for channel in site.channels()) == 2)
        for channel in site.channels():
            channel.since -= 2  # as if it had come two seconds ago
        assert site.ask("/").answer()[0] == 200
        assert trickling[0].closed()
        site.load(running=1)
        town.release.set()
        trickling[1].close()


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open nothing more for the length of a block."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno(), before[1]))
        lower = []
        # Those below that number may not all be in use.
        with suppress(OSError):
            while True:
                lower.append(socket.socket())
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for sock in lower:
                sock.close()


def test_without_descriptors_idle_connections_leave_and_nobody_spins(caplog: pytest.LogCaptureFixture) -> None:
    """Who knocks when no descriptor is left gets one of an idle connection's; it is logged once."""
    with serving(hello) as site, caplog.at_level(logging.WARNING, "tenantry.server"):
        idle = [site.client() for _ in range(2)]
        for client in idle:
            ask(site, client)
        sock = socket.socket()
        sock.settimeout(PATIENCE)
        with no_descriptors():
            sock.connect(("127.0.0.1", site.port))
            sock.sendall(b"GET / HTTP/1.1\r\nHost: acme\r\n\r\n")
            assert b"200 OK" in sock.recv(1000)
        sock.close()
        assert all(client.closed() for client in idle)
    assert len([record for record in caplog.records if "No connection can be let in" in record.getMessage()]) == 1


def test_without_descriptors_and_idle_connections_the_server_waits_quietly(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tries again after a pause and not before, and lets in who knocked as soon as there is a descriptor."""
    monkeypatch.setattr(crowds, "_PAUSE", 3600.0)
    with serving(hello) as site, caplog.at_level(logging.WARNING, "tenantry.server"):
        listener = site.server._listeners[0]
        sock = socket.socket()
        sock.settimeout(PATIENCE)
        with no_descriptors():
            sock.connect(("127.0.0.1", site.port))
            sock.sendall(b"GET / HTTP/1.1\r\nHost: acme\r\n\r\n")
            until(lambda: bool(caplog.records))
            first = listener.crowd._closed_until
            for _ in range(10):
                site.on_loop(lambda: None)
            assert listener.crowd._closed_until == first
            listener.crowd._closed_until = 0.0
            site.on_loop(lambda: None)
            until(lambda: listener.crowd._closed_until > first)
        listener.crowd._closed_until = 0.0
        site.on_loop(lambda: None)
        assert b"200 OK" in sock.recv(1000)
        sock.close()
    assert len(caplog.records) == 1
