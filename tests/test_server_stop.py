"""A server that stops finishes what was begun, says how it ended, and leaves nothing open."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import servers
from tests.servers import PATIENCE, Client, Environ, Start, Town, hello, open_server, serving, text, until
from tests.tools import free_port

ROOT = Path(__file__).parents[1]


town = servers.town


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


def test_who_waits_for_a_turn_is_not_refused_once_the_server_stops(town: Town) -> None:
    """Neither for having waited for longer than ever, nor for want of room; new ones do not come any more."""
    with serving(town, lane_size=1, lane_wait=0.3, linger=PATIENCE) as site:
        held = [site.ask("/hold") for _ in range(2)]
        site.load(running=2)
        held.append(site.ask("/hold"))
        site.load(running=2, waiting=1)
        knocked: list[Client] = []

        def knock() -> None:
            knocked.extend(site.ask("/hold") for _ in range(5))
            site.server.stop()

        site.on_loop(knock)
        site.load(running=2, waiting=6)
        threading.Event().wait(0.4)  # past the time after which they would be refused
        town.release.set()
        assert [client.answer()[0] for client in (*held, *knocked)] == [200] * 8


def test_who_is_parked_waits_no_longer_than_ever(town: Town) -> None:
    """A build that hangs does not hold up the end."""
    with serving(town, lane_wait=0.2) as site:
        parked = site.ask("/park")
        site.load(waiting=1)
        site.server.stop()
        assert parked.answer()[0] == 503


def test_who_has_knocked_is_let_in_although_there_are_connections_enough(town: Town) -> None:
    """All that the listening socket holds would be broken with its end."""
    with serving(town, connections=3) as site:
        held = [site.ask("/hold") for _ in range(3)]
        until(lambda: site.server.load().running + site.server.load().waiting == 3)
        knocked: list[Client] = []

        def knock() -> None:
            knocked.extend(site.ask(f"/{number}") for number in range(3))
            site.server.stop()

        site.on_loop(knock)
        site.deaf()
        town.release.set()
        assert [client.answer()[0] for client in (*held, *knocked)] == [200] * 6


def test_a_connection_that_is_kept_has_one_more_answer_which_says_that_it_is_the_last() -> None:
    """Its next request may be on its way when the server stops; one idle for longer is closed."""
    with serving(hello, linger=PATIENCE) as site:
        kept, fresh = site.ask("/"), site.client()
        assert "connection" not in kept.answer()[1]
        site.on_loop(site.server.stop)
        site.deaf()
        for client in (kept, fresh):
            assert client.ask("/").answer()[1]["connection"] == "close"
            assert client.closed()


def test_a_body_that_was_announced_and_asked_for_is_awaited(town: Town) -> None:
    """A client that waits to be told to go on has begun as well."""
    with serving(town, admit=lambda _headers, _target: 100) as site:
        client = site.client().send(
            b"POST / HTTP/1.1\r\nHost: acme\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
        site.server.stop()
        site.deaf()
        assert client.send(b"12345").answer()[0] == 200
        assert b"12345" in town.bodies


def test_it_is_told_when_a_server_begins_to_answer_and_when_to_stop() -> None:
    """Once each, in this order; a stop that comes first is heard all the same."""
    told: list[str] = []
    server = open_server(hello, lambda _headers, _target: None)
    server.stop()
    assert server.run(serving=lambda: told.append("serving"), stopping=lambda: told.append("stopping")) == 0
    assert told == ["serving", "stopping"]


# Leaving.


def test_a_server_that_leaves_lets_the_other_one_have_who_knocks(town: Town) -> None:
    """What it has begun it finishes; its connections have their next answer from it, however long that takes."""
    with (
        socket.create_server(("127.0.0.1", free_port())) as shared,
        serving(town, sockets=[shared.dup()], linger=0.0) as site,
    ):
        held, kept = site.ask("/hold"), site.ask("/")
        assert kept.answer()[0] == 200
        site.load(running=1)
        site.on_loop(site.server.leave)
        until(lambda: not site.server.descriptors())
        knocked = site.ask("/")
        assert kept.ask("/").answer()[1]["connection"] == "close"
        town.release.set()
        assert held.answer()[2] == b"answer to /hold"
        site.thread.join(PATIENCE)
        assert site.code == 0
        with serving(hello, sockets=[shared.dup()]):
            assert knocked.answer()[2] == b"hello"


def test_a_server_that_leaves_can_be_told_to_hurry(town: Town) -> None:
    """Idle connections hold up who leaves, not who stops; neither is an idle one a reason to have failed."""
    for hurry, drain in ((True, PATIENCE), (False, 0.3)):
        with serving(hello, linger=0.0, drain=drain) as site:
            kept = site.ask("/")
            assert kept.answer()[0] == 200
            site.on_loop(site.server.leave)
            site.deaf()
            if hurry:
                assert site.code is None
                site.server.stop()
            assert kept.closed()
            site.thread.join(PATIENCE)
            assert site.code == 0


def test_a_server_can_be_visited_whoever_else_listens_on_its_socket() -> None:
    """The connection is its own, not one of the socket that it shares."""
    with (
        socket.create_server(("127.0.0.1", free_port())) as shared,
        serving(hello, sockets=[shared.dup()]) as site,
        site.server.visit() as sock,
    ):
        sock.settimeout(PATIENCE)
        sock.sendall(b"GET / HTTP/1.0\r\nHost: acme\r\n\r\n")
        assert b"".join(iter(lambda: sock.recv(4096), b"")).endswith(b"hello")


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
from tenantry.server import Asks, Options, Server
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
server = Server(application, options, Asks(lane=lambda headers, target: target, admit=lambda headers, target: None))
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
