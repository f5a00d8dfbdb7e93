"""What a process is given and tells: sockets from whoever starts it, word to whoever watches it, SIGHUP."""

import logging
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tenantry.errors import Invalid
from tenantry.workers import Command, Supervisor, given
from tests.servers import PATIENCE, until
from tests.tools import free_port

ROOT = Path(__file__).parents[1]
# Where descriptors are put that a process would get from 3 on.
FIRST = 200


class Desk:
    """Descriptors where the protocol wants them, and the variables that say so."""

    def __init__(self) -> None:
        self.descriptors: list[int] = []
        self.names: list[str] = []

    def put(self, what: int, name: str) -> int:
        descriptor = FIRST + len(self.descriptors)
        os.dup2(what, descriptor)
        self.descriptors.append(descriptor)
        self.names.append(name)
        return descriptor

    def close(self) -> None:
        for descriptor in self.descriptors:
            try:
                os.close(descriptor)
            except OSError:
                continue

    def environment(self, **changes: str) -> dict[str, str]:
        return {
            "LISTEN_FDS": str(len(self.descriptors)),
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDNAMES": ":".join(self.names),
            "HOME": "/",
            **changes,
        }


@pytest.fixture(name="desk")
def _desk() -> Iterator[Desk]:
    with closing(Desk()) as desk:
        yield desk


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", free_port()))


# Given.


def test_sockets_of_both_kinds_are_taken_and_go_no_further(desk: Desk, tmp_path: Path) -> None:
    """No program that an application starts has them, nor the variables."""
    with listening() as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
        unix.listen()
        desk.put(tcp.fileno(), "tenantry.socket")
        desk.put(unix.fileno(), "")
        environment = desk.environment()
        with given(environment, FIRST) as found:
            assert environment == {"HOME": "/"}
            assert [sock.family for sock in found.sockets] == [socket.AF_INET, socket.AF_UNIX]
            assert [sock.getsockname() for sock in found.sockets] == [tcp.getsockname(), unix.getsockname()]
            assert not any(os.get_inheritable(descriptor) for descriptor in desk.descriptors)
            assert found.predecessor is None
            found.ready()  # nobody waits for it


def test_what_is_meant_for_another_process_is_left_alone(desk: Desk) -> None:
    """A shell in between may pass the variables on, and closes nothing."""
    with listening() as tcp:
        descriptor = desk.put(tcp.fileno(), "")
        for pid in (str(os.getppid()), "", "x"):
            environment = desk.environment(LISTEN_PID=pid)
            with given(environment, FIRST) as found:
                assert not found.sockets
            assert environment == {"HOME": "/"}
            assert os.get_inheritable(descriptor)


def test_nothing_is_given_to_who_was_promised_nothing() -> None:
    with given({"HOME": "/"}) as found:
        assert not found.sockets


def test_what_does_not_listen_is_refused_by_its_name(desk: Desk, tmp_path: Path) -> None:
    """A socket of another kind, a connection, a file, nothing at all; what was taken before it is closed again."""
    with listening() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as deaf:
        others = [datagrams.fileno(), deaf.fileno(), os.open(tmp_path, os.O_RDONLY)]
        for other in others:
            good, bad = desk.put(tcp.fileno(), "good"), desk.put(other, "bad")
            with pytest.raises(Invalid, match=rf"Descriptor {bad} \(bad\) was handed in and is no stream socket"):
                given(desk.environment(), FIRST)
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(good)
            os.fstat(bad)
            desk.close()
            desk.descriptors.clear()
            desk.names.clear()
        os.close(others[-1])
    with pytest.raises(Invalid, match=f"Descriptor {FIRST}, which LISTEN_FDS promises, is not open"):
        given(desk.environment(LISTEN_FDS="1"), FIRST)
    with pytest.raises(Invalid, match="LISTEN_FDS=-1 is not a number"):
        given(desk.environment(LISTEN_FDS="-1"), FIRST)


def test_a_predecessor_hears_that_its_successor_answers(desk: Desk, tmp_path: Path) -> None:
    """And gives the sign; what nobody takes is closed."""
    reading, writing = os.pipe()
    with listening() as tcp, closing(os.fdopen(reading, "rb")) as told, (tmp_path / "serving").open("w") as sign:
        desk.put(tcp.fileno(), "tenantry-socket")
        desk.put(sign.fileno(), "tenantry-sign")
        desk.put(writing, "tenantry-ready")
        os.close(writing)
        with given(desk.environment(), FIRST) as found:
            assert found.predecessor == os.getppid()
            assert len(found.sockets) == 1
            assert found.sign == desk.descriptors[1]
            found.ready()
            assert told.read() == b"ready"
            found.ready()
        for descriptor in desk.descriptors:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(descriptor)


def test_a_predecessor_that_is_gone_keeps_nobody_from_serving(desk: Desk) -> None:
    reading, writing = os.pipe()
    desk.put(writing, "tenantry-ready")
    os.close(reading)
    os.close(writing)
    with given(desk.environment(), FIRST) as found:
        found.ready()


# Told.


@pytest.mark.parametrize("address", ["path", "abstract"])
def test_a_supervisor_is_told_how_it_goes(address: str, tmp_path: Path) -> None:
    """In the words of systemd; the clock is the one by which it orders them."""
    if address == "abstract" and sys.platform != "linux":
        address = "path"
    name = f"@tenantry-test-{os.getpid()}" if address == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as watching:
        watching.bind(name.replace("@", "\0"))
        watching.settimeout(PATIENCE)
        supervisor = Supervisor({"NOTIFY_SOCKET": name})

        def told() -> list[str]:
            return watching.recv(4096).decode().split("\n")

        supervisor.ready()
        assert told() == ["READY=1", "STATUS="]
        supervisor.reloading()
        reloading, clock = told()
        assert reloading == "RELOADING=1"
        assert clock.removeprefix("MONOTONIC_USEC=").isdigit()
        supervisor.replaced(1234)
        assert told() == ["MAINPID=1234", "READY=1", "STATUS="]
        supervisor.ready("the new one has failed")
        assert told() == ["READY=1", "STATUS=the new one has failed"]
        supervisor.stopping()
        assert told() == ["STOPPING=1"]


def test_a_supervisor_that_does_not_listen_is_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And where there is none, nothing is."""
    for nobody in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}):
        Supervisor(nobody).ready()
    assert not caplog.records
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "could not be told READY=1" in caplog.text


# The command.


def test_a_command_is_started_again_where_its_folder_leads_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder that is a link to a release stays the link; a PWD that is not true is not believed."""
    for release in ("1", "2"):
        (tmp_path / release).mkdir()
    current = tmp_path / "current"
    current.symlink_to("1")
    monkeypatch.chdir(current)
    monkeypatch.setenv("PWD", str(current))
    assert Command.own().folder == str(current)
    monkeypatch.setenv("PWD", str(tmp_path / "2"))
    assert Command.own().folder == str((tmp_path / "1").resolve())
    monkeypatch.setenv("PWD", ".")
    assert Command.own().folder == str((tmp_path / "1").resolve())
    assert Command.own().words == (sys.executable, *sys.orig_argv[1:])


# SIGHUP.

HANGUP = """
import fcntl, os, signal, sys, termios, time
if "terminal" in sys.argv:
    os.setsid()
    fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
if "nohup" in sys.argv:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
from tenantry.workers import Hangup, Succession, hangup as room
room._ECHO = 0.1
def say(word):
    os.write(1, word + b"\\n")
with Hangup() as hangup:
    if "stops" in sys.argv:
        hangup.on_end = lambda: (say(b"stop"), hangup.close())
    if "refuses" in sys.argv:
        say(Succession(hangup, None, None, None)._refusal().encode())
    say(b"ready")
    while hangup.asked():
        say(b"asked")
"""


class Listening:
    """A process that listens to SIGHUP, with a terminal of its own where that is wanted."""

    def __init__(self, *words: str) -> None:
        self.master, slave = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", HANGUP, str(slave), *words],
            env={"PYTHONPATH": str(ROOT / "platform")},
            stdout=subprocess.PIPE,
            pass_fds=[slave],
            text=True,
        )
        os.close(slave)
        self.refused = self.said() if "refuses" in words else ""
        assert self.said() == "ready"

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def asks(self) -> bool:
        """Send SIGHUP, and tell whether something was said upon it."""
        self.process.send_signal(signal.SIGHUP)
        news = select.poll()
        assert self.process.stdout is not None
        news.register(self.process.stdout, select.POLLIN)
        return bool(news.poll(50))

    def hang_up(self) -> None:
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        if self.master >= 0:
            os.close(self.master)
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("words", [(), ("terminal",), ("terminal", "nohup")])
def test_sighup_asks_for_a_new_process(words: tuple[str, ...]) -> None:
    """On a terminal too, as long as it is there."""
    with closing(Listening(*words)) as listening:
        listening.process.send_signal(signal.SIGHUP)
        assert listening.said() == "asked"
        listening.process.send_signal(signal.SIGHUP)
        assert listening.said() == "asked"


def test_the_end_of_the_terminal_is_the_end(tmp_path: Path) -> None:
    """The system sends SIGHUP then; a successor without a terminal would be left over."""
    with closing(Listening("terminal", "stops")) as listening:
        listening.hang_up()
        assert listening.said() == "stop"
        assert listening.process.wait(PATIENCE) == 0
    with closing(Listening("terminal")) as early:  # nothing is there yet that could be stopped in good order
        early.hang_up()
        assert early.process.wait(PATIENCE) == -signal.SIGHUP


def test_who_was_started_to_outlive_the_terminal_does() -> None:
    """As with `nohup`; and listens on."""
    with closing(Listening("terminal", "nohup", "stops")) as listening:
        listening.hang_up()
        # The first one may be taken for the terminal's own, of which the system then sends no second.
        until(lambda: listening.asks() and listening.said() == "asked")


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (("terminal",), "the end of this process is that of its terminal; start it from a shell, or by nohup"),
        (("terminal", "nohup"), ""),
        ((), ""),
    ],
)
def test_nothing_is_handed_over_where_the_successor_would_end_with_the_one_before(
    words: tuple[str, ...], refused: str
) -> None:
    """The first program of a terminal takes it along, and the system tells everybody else there to end."""
    with closing(Listening(*words, "refuses")) as listening:
        assert listening.refused == refused
