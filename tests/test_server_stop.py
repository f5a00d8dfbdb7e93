"""A server that stops finishes what was begun, says how it ended, and leaves nothing open."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import PATIENCE, Client, Environ, Start, Town, hello, open_server, serving, text, until
from tests.tools import free_port

ROOT = Path(__file__).parents[1]


@pytest.fixture(name="town")
def _town() -> Iterator[Town]:
    town = Town()
    yield town
    town.release.set()


# Stopping.


def test_a_stopping_server_finishes_what_runs_waits_and_is_parked(town: Town) -> None:
    """Requests in flight, waiting, parked and half sent are all answered, each saying that it is the last."""
    with serving(town, threads=2) as site:
        idle = site.ask("/")
        assert idle.answer()[0] == 200
        held = [site.ask("/hold") for _ in range(2)]
        parked = site.ask("/park", "other")
        half = site.client().send(b"POST /half HTTP/1.1\r\nHost: half\r\nContent-Length: 10\r\n\r\n12345")
        site.load(running=1, waiting=2)
        site.server.stop()
        assert idle.closed()
        site.deaf()
        half.send(b"67890")
        town.future.set_result(None)
        town.release.set()
        for client in (*held, parked, half):
            status, headers, _ = client.answer()
            assert (status, headers["connection"]) == (200, "close")
            assert client.closed()
        assert b"1234567890" in town.bodies


def test_a_stopping_server_sends_large_bodies_and_streams_to_their_ends() -> None:
    """8 MB that the client has hardly begun to read, and a stream that has just begun, arrive whole."""
    go = threading.Event()
    data = random.randbytes(8 << 20)

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/large":
            return text(start, data)
        start("200 OK", [("Content-Type", "text/plain")])
        return (b"%d," % number for number in range(1000) if number != 1 or go.wait(PATIENCE))

    with serving(application) as site:
        large, stream = site.ask("/large"), site.ask("/stream")
        large.more()
        stream.until(b"0,")
        site.server.stop()
        site.deaf()
        go.set()
        assert large.answer()[2] == data
        assert large.closed()
        while not stream.buffer.endswith(b"\r\n0\r\n\r\n"):
            assert stream.more()
        assert b"\r\n999,\r\n" in stream.buffer


def test_a_stopping_server_answers_who_has_knocked_already(town: Town) -> None:
    """Connections that the system holds for the server, and pipelined requests, are still answered."""
    with serving(town) as site:
        knocked: list[Client] = []

        def knock() -> None:
            knocked.extend(site.ask(f"/{number}") for number in range(10))
            site.server.stop()

        pipelined = site.client().send(
            b"".join(b"GET /%s HTTP/1.1\r\nHost: acme\r\n\r\n" % path for path in (b"hold", b"2"))
        )
        site.load(running=1)
        site.on_loop(knock)
        site.deaf()
        town.release.set()
        assert [client.answer()[0] for client in knocked] == [200] * 10
        assert [pipelined.answer()[1].get("connection") for _ in range(2)] == [None, "close"]


def test_a_server_that_cannot_finish_in_time_gives_up(town: Town) -> None:
    """After `drain` seconds with a request still running the exit code is 75 and the connection is closed."""
    with serving(town, code=75, drain=0.1) as site:
        client = site.ask("/hold")
        site.load(running=1)
        site.server.stop()
        assert client.closed()
        site.thread.join(PATIENCE)
    town.release.set()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("tenantry-")])


def test_a_server_that_was_stopped_before_it_ran_ends_at_once() -> None:
    """`stop` is not lost when it comes first."""
    server = open_server(hello, lambda _headers, _target: None)
    server.stop()
    assert server.run() == 0


def test_sigterm_on_the_main_thread_drains_and_the_handlers_are_put_back(town: Town) -> None:
    """`run` listens to SIGTERM and SIGINT for as long as it lasts and leaves them as they were."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    server = open_server(town, lambda _headers, _target: None)
    answers: list[int] = []

    def visit() -> None:
        client = Client(server.port).ask("/hold")
        until(lambda: server.load().running == 1)
        os.kill(os.getpid(), signal.SIGTERM)
        town.release.set()
        answers.append(client.answer()[0])
        client.close()

    visitor = threading.Thread(target=visit)
    visitor.start()
    assert server.run() == 0
    visitor.join(PATIENCE)
    assert answers == [200]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


CHILD = """
import sys, threading
from tenantry.server import Options, Server
release = threading.Event()
def application(environ, start):
    if environ["PATH_INFO"] == "/hold":
        release.wait()
    if environ["PATH_INFO"] == "/release":
        release.set()
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
options = Options(host="127.0.0.1", port=int(sys.argv[1]), threads=4, connections=100, max_header=4096, max_body=0,
    lane_size=10, lane_wait=9.0, drain=9.0, trust_proxy=False)
server = Server(application, options, lambda headers, target: target)
print("ready", flush=True)
sys.exit(server.run())
"""


@contextmanager
def child() -> Iterator[tuple["subprocess.Popen[str]", Callable[[], Client]]]:
    """Serve from a process of its own; give the process, and what connects to it."""
    port = free_port()
    command = [sys.executable, "-c", CHILD, str(port)]
    environment = {"PYTHONPATH": str(ROOT / "platform")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    clients: list[Client] = []

    def connect() -> Client:
        clients.append(Client(port))
        return clients[-1]

    try:
        yield process, connect
    finally:
        process.kill()
        process.communicate()
        for client in clients:
            client.close()


def test_sigterm_to_a_process_answers_what_was_begun_and_exits_0() -> None:
    """A request that runs and one of which half was sent are answered after SIGTERM; the exit code is 0."""
    with child() as (process, connect):
        held = connect().ask("/hold")
        half = connect().send(b"GET /release HTTP/1.1\r\n")
        assert connect().ask("/").answer()[0] == 200
        process.send_signal(signal.SIGTERM)
        until(lambda: deaf(connect))
        half.send(b"Host: acme\r\n\r\n")
        assert [client.answer()[2] for client in (half, held)] == [b"hello", b"hello"]
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_process_at_once(number: signal.Signals) -> None:
    """With a request that never ends, the second SIGTERM or SIGINT is obeyed with exit code 1."""
    with child() as (process, connect):
        held = connect().ask("/hold")
        assert connect().ask("/").answer()[0] == 200
        process.send_signal(number)
        until(lambda: deaf(connect))
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(PATIENCE) == 1
        assert held.closed()


def deaf(connect: Callable[[], Client]) -> bool:
    """Tell whether nobody listens any more."""
    try:
        connect()
    except OSError:
        return True
    return False


def test_a_stop_never_writes_into_a_descriptor_that_the_loop_has_closed_meanwhile() -> None:
    """A server whose loop notices the stop by itself stays open until whoever asked for it has woken it."""
    with serving(hello) as site:
        trigger = site.server._listeners[0].trigger
        pull = trigger.pull_trigger

        def late() -> None:
            pull()  # the loop turns, sees that it is to stop, and has nothing left to do
            site.thread.join(0.3)
            os.fstat(trigger.trigger)

        trigger.pull_trigger = late
