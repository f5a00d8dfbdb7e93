"""One serving process takes the place of another, or does not, and nobody who asks notices."""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tenantry.workers import SOCKET, Command, Hangup, Patience, Succession, Supervisor
from tests.servers import PATIENCE, Client, Site, Town, until
from tests.tools import free_port

ROOT = Path(__file__).parents[1]

# A successor that serves and says its number to whoever asks; what it is told stands in the file `told`.
HEIR = """
import os, signal, sys
from tenantry.server import Asks, Options, Server
from tenantry.workers import Hangup, given
def application(environ, start):
    body = str(os.getpid()).encode()
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
options = Options(host="", port=0, threads=2, connections=100, max_header=4096, max_body=0, lane_size=10, lane_wait=9.0,
    drain=9.0, trust_proxy=False, linger=0.1)
with given(os.environ) as mine, Hangup() as hangup:
    server = Server(application, options, Asks(lane=lambda *_: None, admit=lambda *_: None), mine.sockets)
    def told():
        hangup.asked()
        open("told", "w").write("SIGHUP")
    import threading
    threading.Thread(target=told, daemon=True).start()
    code = server.run(serving=mine.ready)
open("ended", "w").write(str(code))
"""
FAILS = "import sys; sys.exit(3)"
HANGS = "import signal; open('begun', 'w').close(); signal.pause()"
# It says nothing, but what it has started holds its side of the pipe open.
LEAVES_A_CHILD = """
import os, sys, threading, time
if os.fork():
    open("child", "w").close()
    sys.exit(4)
end = time.monotonic() + 60
while not os.path.exists("go") and time.monotonic() < end:
    threading.Event().wait(0.01)
"""


class House:
    """A server whose successor is whatever a test says, and what a supervisor has been told."""

    def __init__(self, folder: Path, code: str, closing: ExitStack, *, ready: float = PATIENCE) -> None:
        self.folder = folder
        self._supervising = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self._supervising.bind(str(folder / "notify"))
        self._supervising.settimeout(PATIENCE)
        self.town = Town()
        self.shared = closing.enter_context(socket.create_server(("127.0.0.1", free_port())))
        self.port: int = self.shared.getsockname()[1]
        self.site = Site(self.town, sockets=[self.shared.dup()], linger=0.1)
        closing.callback(self.site.end)
        closing.callback(self.town.release.set)
        self.hangup = closing.enter_context(Hangup(self.site.server.stop))
        environment = {"PYTHONPATH": str(ROOT / "platform")}
        self.succession = Succession(
            self.hangup,
            Command((sys.executable, "-c", code), str(folder), environment),
            Supervisor({"NOTIFY_SOCKET": str(folder / "notify")}),
            Patience(ready=ready, finish=PATIENCE),
        )
        closing.callback(self.succession.close)

    def begin(self) -> None:
        self.succession.begin(self.site.server, self._passing)

    def _passing(self) -> list[tuple[str, int]]:
        return [(SOCKET, descriptor) for descriptor in self.site.server.descriptors()]

    def told(self) -> list[str]:
        return self._supervising.recv(4096).decode().split("\n")

    def ask(self, path: str = "/") -> Client:
        self.site.clients.append(Client(self.port).ask(path))
        return self.site.clients[-1]

    def heir(self) -> int:
        """Wait until a successor serves, and return its number."""
        assert self.told()[0] == "RELOADING=1"
        process, ready, _ = self.told()
        assert ready == "READY=1"
        return int(process.removeprefix("MAINPID="))


Build = Callable[..., House]


@pytest.fixture(name="build")
def _build(tmp_path: Path) -> Iterator[Build]:
    with ExitStack() as undo:
        yield lambda code, **given: House(tmp_path, code, undo, **given)


def hang_up() -> None:
    """Send SIGHUP to this process, as an operator would."""
    os.kill(os.getpid(), signal.SIGHUP)


@contextmanager
def ending(house: House, process: int) -> Iterator[None]:
    """End a successor after a block, in good order."""
    try:
        yield
    finally:
        os.kill(process, signal.SIGTERM)
        os.waitpid(process, 0)
        assert (house.folder / "ended").read_text() == "0"


def test_a_successor_answers_and_the_one_before_finishes(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """What was begun is answered by the old one, what is new by the new one; the supervisor hears whom to watch."""
    caplog.set_level(logging.INFO)
    house = build(HEIR)
    house.begin()
    held, kept = house.ask("/hold"), house.ask("/kept")
    assert kept.answer()[2] == b"answer to /kept"
    house.site.load(running=1)
    hang_up()
    process = house.heir()
    with ending(house, process):
        until(lambda: not house.site.server.descriptors())
        assert house.ask().answer()[2] == str(process).encode()
        assert kept.ask("/kept").answer()[1]["connection"] == "close"
        house.town.release.set()
        assert held.answer()[2] == b"answer to /hold"
        house.site.thread.join(PATIENCE)
        assert house.site.code == 0
        assert f"process {process} has taken over" in caplog.text
        hang_up()  # too late: it is another one's matter now
        until(lambda: f"SIGHUP is for process {process}" in caplog.text)


def test_what_is_asked_before_there_is_a_server_is_done_when_there_is(build: Build) -> None:
    house = build(HEIR)
    hang_up()
    house.begin()
    with ending(house, house.heir()):
        pass


def test_a_successor_that_is_wanted_anew_meanwhile_is_told_so(build: Build) -> None:
    """A second release may have come while the first was being started; however often, it is told once."""
    slow = HEIR.replace(
        "code = server", "until = lambda: os.path.exists('go')\n    while not until(): pass\n    code = server"
    )
    house = build(slow)
    house.begin()
    hang_up()
    assert house.told()[0] == "RELOADING=1"
    hang_up()
    hang_up()
    (house.folder / "go").touch()
    process = int(house.told()[0].removeprefix("MAINPID="))
    with ending(house, process):
        until((house.folder / "told").exists)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (FAILS, "has ended with 3 before it answered"),
        (LEAVES_A_CHILD, "has ended with 4 before it answered"),
        ("import os; os.kill(os.getpid(), 9)", "has ended with -9 before it answered"),
        ("this is no Python", "has ended with 1 before it answered"),
    ],
)
def test_a_successor_that_ends_leaves_everything_as_it_was(
    build: Build, caplog: pytest.LogCaptureFixture, code: str, says: str
) -> None:
    """One line of the log says how it ended; the next attempt may succeed."""
    house = build(code)
    house.begin()
    for attempt in (1, 2):
        hang_up()
        assert house.told()[0] == "RELOADING=1"
        ready, status = house.told()
        assert ready == "READY=1"
        assert says in status
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == attempt
        assert says in errors[-1]
        assert "nothing is handed over, this process goes on" in errors[-1]
        assert house.ask().answer()[2] == b"answer to /"
    (house.folder / "go").touch()


def test_a_successor_that_does_not_answer_in_time_is_ended(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    house = build(HANGS, ready=0.2)
    house.begin()
    hang_up()
    assert house.told()[0] == "RELOADING=1"
    assert "does not answer after 0.2 s and is ended" in house.told()[1]
    assert "does not answer after 0.2 s and is ended" in caplog.text
    assert house.ask().answer()[2] == b"answer to /"


def test_a_successor_that_cannot_be_started_is_a_line_in_the_log(
    build: Build, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The folder may be gone, for one."""
    house = build(HEIR)
    house.succession._command = Command((sys.executable,), str(tmp_path / "gone"), {})
    house.begin()
    hang_up()
    assert house.told()[0] == "RELOADING=1"
    assert "a new process could not be started" in house.told()[1]
    assert "a new process could not be started" in caplog.text
    assert house.ask().answer()[2] == b"answer to /"


def test_a_stop_calls_a_successor_off_that_does_not_answer_yet(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """Who is told to stop leaves nobody behind."""
    caplog.set_level(logging.INFO)
    house = build(HANGS)
    house.begin()
    hang_up()
    until((house.folder / "begun").exists)
    house.site.server.stop()
    house.site.thread.join(PATIENCE)
    assert house.site.code == 0
    house.succession.close()
    assert "is not wanted any more: this one stops" in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name == "succession"]
    with suppress(ChildProcessError):
        raise AssertionError(f"left over: {os.waitpid(-1, os.WNOHANG)}")


def test_a_stopping_server_starts_no_successor(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    house = build(HEIR)
    house.begin()
    held = house.ask("/hold")
    house.site.load(running=1)
    house.site.server.stop()
    hang_up()
    until(lambda: "SIGHUP comes too late" in caplog.text)
    house.town.release.set()
    assert held.answer()[0] == 200
