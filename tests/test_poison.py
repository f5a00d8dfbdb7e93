"""Poison: whatever an application does in its factory, its answers and its end, the neighbour beside it is served.

What cannot be kept in, as all applications run in one process, is listed in docs/security.md.
"""

import locale
import logging
import os
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tenantry.assembly.platform import Platform, open_platform
from tenantry.operations import NewTenant
from tenantry.workers import see_off
from tests.poisons import never
from tests.servers import Client
from tests.sites import eventually, on_threads
from tests.stories.served import served
from tests.tools import free_port
from tests.wsgi import Answer, call, wait_until

HURRY = {"build_deadline": 1.0, "build_wait": 0.5}


class Street:
    """A platform with a healthy tenant, and any neighbour."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._settled: set[str] = set()
        platform.operations.add(NewTenant(name="healthy", application="tests.poisons:healthy"))

    def settle(self, name: str, application: str = "") -> None:
        """Add a tenant, once, as one whose application was harmless when it was added."""
        if name in self._settled:
            return
        self._settled.add(name)
        self.platform.operations.add(NewTenant(name=name, application="tests.poisons:healthy"))
        application = application or f"tests.poisons:{name.replace('-', '_')}"
        with closing(sqlite3.connect(self.platform.settings.instance / "registry.sqlite3")) as book, book:
            book.execute("UPDATE tenants SET application = ? WHERE name = ?", (application, name))

    def get(self, name: str, path: str = "/", query: str = "") -> Answer:
        return call(self.platform.application, f"{name}.localhost", path, QUERY_STRING=query)

    def is_well(self) -> bool:
        return self.get("healthy").text == "healthy healthy"

    def trouble(self, name: str) -> str:
        return self.platform.operations.show(name).trouble


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    never.clear()
    try:
        with open_platform(tmp_path_factory.mktemp("street"), HURRY) as platform:
            yield Street(platform)
            never.set()
            eventually(lambda: "0 leases" in repr(platform.pool))
            platform.pool.verify()
    finally:
        never.set()
        root.handlers = before


# Factories that do not come to an application

FAILING = {
    "raises": "the factory is broken",
    "hides-its-words": "Unspeakable",
    "hangs": "had not answered",
    "exits": "SystemExit: 3",
    "interrupts": "KeyboardInterrupt",
    "raises-uncaught": "Uncaught: through everything",
    "returns-none": "NoneType",
    "returns-number": "returned int",
    "is-async": "coroutine",
    "recurses": "RecursionError",
    "eats-memory": "MemoryError",
    "takes-signals": "signal only works in main thread",
}


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.filterwarnings("ignore:coroutine 'is_async' was never awaited")
def test_a_factory_that_fails_costs_its_own_tenant_and_is_told_in_the_journal(street: Street, name: str) -> None:
    street.settle(name)
    answer = street.get(name)
    assert answer.status == 503
    assert FAILING[name] not in answer.text
    wait_until(lambda: FAILING[name] in street.trouble(name))
    assert street.is_well()


# Factories that do, and what they did on the way


@pytest.mark.parametrize("name", ["runs-asyncio", "forks", "starts-thread"])
def test_a_factory_that_does_unusual_things_is_no_harm(street: Street, name: str) -> None:
    street.settle(name)
    assert street.get(name).text == f"healthy {name}"
    assert street.is_well()


def test_what_all_share_is_put_back_and_told(street: Street, caplog: pytest.LogCaptureFixture) -> None:
    """Working directory, umask, the default timeout of sockets, the locale; the environment is only told."""
    shared: list[Callable[[], object]] = [
        Path.cwd,
        lambda: os.umask(os.umask(0o22)),
        socket.getdefaulttimeout,
        lambda: locale.setlocale(0),
    ]
    before = [read() for read in shared]
    try:
        street.settle("leaves")
        assert street.get("leaves").status == 200
        wait_until(lambda: Path.cwd() == before[0] and socket.getdefaulttimeout() == before[2])
        wait_until(lambda: "probably that of leaves, has changed the umask" in caplog.text)
        assert [read() for read in shared] == before
        assert "SOMEBODYS_SECRET" in caplog.text
        assert "everybody's" not in caplog.text
        assert street.is_well()
    finally:
        with suppress(KeyError, ValueError):
            del os.environ["SOMEBODYS_SECRET"]
            sys.path.remove("/nowhere")


def test_two_applications_that_import_each_other_at_one_time_are_both_built(
    street: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread holds the lock of its own module and wants the other's; Python sees that nobody else would end it."""
    for name, other in (("poison_one", "poison_two"), ("poison_two", "poison_one")):
        (tmp_path / f"{name}.py").write_text(
            f"from tests.test_poison import MEETING\nMEETING.wait(10)\nimport {other}\n"
            "from tests.poisons import healthy as create_app\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("poison-one", "poison-two"):
        street.settle(name, f"{name.replace('-', '_')}:create_app")
    threads = [threading.Thread(target=street.get, args=(name,)) for name in ("poison-one", "poison-two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    wait_until(lambda: street.get("poison-one").status == street.get("poison-two").status == 200)
    assert street.is_well()


MEETING = threading.Barrier(2)


# Ends


@pytest.mark.parametrize("name", ["fails-to-end", "hangs-in-its-end"])
def test_an_end_that_fails_or_hangs_is_its_own(street: Street, name: str) -> None:
    street.settle(name)
    assert street.get(name).status == 200
    street.platform.operations.suspend(name, "poison")
    wait_until(lambda: street.get(name).status == 403)
    street.platform.pool.evict(99)
    wait_until(street.is_well)
    street.settle(f"after-{name}", "tests.poisons:healthy")
    assert street.get(f"after-{name}").status == 200


# Answers


HOOKS = {
    **dict.fromkeys(["before", "after", "teardown", "appcontext", "preprocessor"], "/"),
    "context": "/template",
    "handler": "/missing",
    "stream": "/stream",
}


@pytest.mark.parametrize("what", ["error", "exit"])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_view_that_raises_in_any_hook_costs_its_own_request(street: Street, hook: str, what: str) -> None:
    street.settle("hooks")
    with suppress(RuntimeError, SystemExit):  # past the headers it is the server's to cut
        answer = street.get("hooks", HOOKS[hook], f"in={hook}&what={what}")
        assert answer.status == 500
        assert f"in {hook}" not in answer.text
    assert street.get("hooks").status == 200
    assert street.is_well()
    assert "0 leases" in repr(street.platform.pool)


# Behind the server


def test_whatever_an_answer_does_the_server_goes_on_and_it_ends_although_threads_do_not(tmp_path: Path) -> None:
    """Not even what nothing catches costs a thread, and after SIGTERM nobody waits for an application's own threads."""
    with open_platform(tmp_path, {"log_level": "error"}) as platform:
        street = Street(platform)
        for name in ("hooks", "misuses-wsgi", "starts-thread", "hangs-at-exit", "exits-at-exit"):
            street.settle(name)
    port = free_port()
    with served(tmp_path, port, ["--no-demo"], TENANTRY_THREADS="2", TENANTRY_DRAIN="1") as server:
        for name in ("starts-thread", "hangs-at-exit", "exits-at-exit"):
            assert server.get(f"{name}.localhost")[0] == 200
        for hook, path in HOOKS.items():
            _ask(port, "hooks", f"{path}?in={hook}&what=base")
        for kind in ("silent", "none", "text", "number", "split", "headers", "close"):
            assert b"Set-Cookie" not in _ask(port, "misuses-wsgi", f"/{kind}").partition(b"\r\n\r\n")[0]
        for _ in range(4):
            assert server.get("healthy.localhost") == (200, "healthy healthy")
        assert server.stop() == 0
    output = (tmp_path / "output.txt").read_text()
    assert "of-the-application" in output


def test_only_the_main_thread_is_seen_off() -> None:
    """A server that runs on another thread is part of somebody else's process."""
    on_threads(lambda: see_off(0, 0.0))
    assert "leaving" not in {thread.name for thread in threading.enumerate()}


def _ask(port: int, name: str, path: str) -> bytes:
    """Send a request and return all that comes, until it ends in whatever way."""
    client = Client(port)
    client.ask(path, f"{name}.localhost", "Connection: close\r\n")
    with closing(client.sock), suppress(ConnectionError):
        while client.more():
            pass
    return client.buffer
