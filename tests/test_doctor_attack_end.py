"""What an attack is done with is honest: a visitor who dies is noticed, and no process is left behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tenantry.assembly.desk import open_operations
from tenantry.doctor.attack import scratch
from tenantry.doctor.attack.calling import Caller, OutOfTime, Patience, within
from tenantry.doctor.attack.run import attack
from tenantry.doctor.attack.scratch import Address, Ground, Plan, Tenant
from tenantry.doctor.attack.server import Server
from tenantry.doctor.attack.slow import Probe
from tenantry.doctor.attack.stopping import Writer
from tenantry.doctor.attack.trial import Trial
from tenantry.errors import Unavailable
from tenantry.placement import Instance
from tenantry.settings import Settings
from tests.operators import ENVIRONMENT, NOTES
from tests.servers import until
from tests.wsgi import wait_until

GOOD = b"HTTP/1.1 200 OK\r\nX-Attacked: acme\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@contextmanager
def saying(*answers: bytes) -> Iterator[int]:
    """Answer at a port, each connection with the next of what is given, and all others with the last."""
    left, over = list(answers), threading.Event()

    def answer(listening: socket.socket) -> None:
        while not over.is_set():
            with suppress(OSError), listening.accept()[0] as sock:
                sock.recv(4096)
                sock.sendall(left.pop(0) if len(left) > 1 else left[0])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join()


@pytest.fixture
def acme(tmp_path: Path) -> Address:
    tenant = Tenant("acme", "acme", "", "", "", Instance(tmp_path).placement("acme"))
    return Address(tenant, "acme.localhost", "")


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    with open_operations(tmp_path, {"application": NOTES}) as operations:
        yield Trial(Ground(Plan(tmp_path, Settings(), (), open_operations), tmp_path, operations), Patience(30))


def judged(trial: Trial, acme: Address, enough: Callable[[Probe], bool], *answers: bytes) -> list[str]:
    """Let a visitor ask for a while, and return what is said of it."""
    with saying(*answers) as port:
        probe = Probe(Caller(port, Patience(30)), acme)
        probe.start()
        until(lambda: enough(probe))
        probe.end()
    probe.judge(trial, "LIVE-1", "a neighbour")
    return trial.faults


def test_a_visitor_who_was_answered_is_well(trial: Trial, acme: Address) -> None:
    assert judged(trial, acme, lambda probe: probe.asked >= 3, GOOD) == []


@pytest.mark.parametrize(
    "answer", [b"HTP/1.1 no\r\n\r\n", b"", GOOD.replace(b": 0", b": 9"), b"HTTP/1.1 2x0 OK\r\n\r\n"]
)
def test_an_answer_that_is_none_is_trouble_and_the_visitor_asks_on(trial: Trial, acme: Address, answer: bytes) -> None:
    """However well those before and after it were."""
    faults = judged(trial, acme, lambda probe: probe.asked >= 5, GOOD, answer, GOOD)
    assert len(faults) == 1
    assert "a neighbour had no answer: " in faults[0]


def test_a_visitor_who_has_hardly_asked_has_shown_nothing(trial: Trial, acme: Address) -> None:
    assert judged(trial, acme, lambda probe: probe.asked >= 1, GOOD)[0].startswith("LIVE-1: a neighbour could ask ")


def test_a_visitor_whose_thread_has_died_has_shown_nothing(trial: Trial, acme: Address) -> None:
    probe = Probe(Caller(1, Patience(1)), acme)
    probe.judge(trial, "LIVE-1", "a neighbour")
    assert trial.faults[0] == "LIVE-1: a neighbour could not ask to the end"


def test_a_writer_who_is_cut_off_in_an_answer_ends_with_what_it_knows(acme: Address) -> None:
    written = GOOD.replace(b"200 OK", b"201 Created")
    with saying(written, written, b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf of") as port:
        writer = Writer(Caller(port, Patience(30)), acme, "x")
        writer.start()
        writer.join(10)
    assert (writer.acknowledged, writer.trouble) == (["x-0", "x-1"], "IncompleteRead")


def test_what_takes_too_long_is_left_behind() -> None:
    held = threading.Event()
    with pytest.raises(OutOfTime):
        within(0.01, held.wait)
    held.set()
    assert within(10, lambda: 7) == 7
    with pytest.raises(TimeoutError, match="own"):
        within(10, lambda: (_ for _ in ()).throw(TimeoutError("own")))


def test_an_application_that_hangs_when_it_is_added_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the others are attacked."""
    os.mkfifo(tmp_path / "held")
    (tmp_path / "hangs_at_import.py").write_text(f"with open({str(tmp_path / 'held')!r}) as held:\n    held.read()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(scratch, "_ADDED", 3.0)
    with open_operations(tmp_path, {"application": NOTES}) as operations:
        ground = Ground(Plan(tmp_path, Settings(), (), open_operations), tmp_path, operations)
        ground.targets = []
        monkeypatch.setattr(scratch, "_TARGETS", 2)
        ground.populate(["hangs_at_import:create_app", NOTES], Patience(60))
        (tmp_path / "held").write_text("go on")
    assert list(ground.tenants) == [NOTES]
    assert list(ground.broken) == ["hangs_at_import:create_app"]


def test_an_instance_that_is_not_made_in_time_ends_the_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "_ADDED", 0.0)
    with pytest.raises(Unavailable, match="could not be made in time"):
        attack(tmp_path, {"application": NOTES}, open_operations, lambda _: None)


# Processes

# A middleware that starts a process, as applications do, and lets it live on. It holds a pipe: its end is seen there.
LEFT_BEHIND = """
import os, subprocess, sys

def wrap(application):
    waits = "import os, signal; os.write(os.open(sys.argv[1], os.O_WRONLY), b'up'); signal.pause()"
    subprocess.Popen([sys.executable, "-c", "import sys; " + waits, os.environ["SEEN"]], close_fds=True)
    return application
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end of a pipe that is closed elsewhere once all who have it are gone."""
    os.mkfifo(tmp_path / "seen")
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    found = os.open(tmp_path / "seen", os.O_RDONLY | os.O_NONBLOCK)
    yield found
    os.close(found)


def said(pipe: int) -> bytes | None:
    """Read what was written to a pipe; nothing where nobody has it, None where somebody has it and says nothing."""
    try:
        return os.read(pipe, 100)
    except BlockingIOError:
        return None


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_an_application_has_started_ends_with_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: int, end: signal.Signals
) -> None:
    """After a clean stop too, which leaves no leader to its group."""
    (tmp_path / "left_behind.py").write_text(LEFT_BEHIND)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    environment = {"TENANTRY_MIDDLEWARE": "left_behind:wrap", "TENANTRY_INSTANCE": str(tmp_path / "instance")}
    server = Server(tmp_path, tmp_path / "log", environment)
    try:
        server.start(Patience(30))
        wait_until(lambda: said(seen) == b"up", seconds=20)
        if end is signal.SIGTERM:
            server.signal(end)
            assert server.wait(Patience(30)) == 0
    finally:
        server.kill()
    server.kill()
    wait_until(lambda: said(seen) == b"")


def test_a_server_for_which_there_is_no_program_says_so_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    server = Server(tmp_path, tmp_path / "log", {})
    with pytest.raises(Unavailable, match=r"did not start: .*No such file"):
        server.start(Patience(10))
    server.kill()
    assert capfd.readouterr().err == ""


STARTS = """
import signal, sys
from pathlib import Path
from tenantry.doctor.attack.calling import Patience
from tenantry.doctor.attack.server import Server
root = Path(sys.argv[1])
server = Server(root, root / "log", {"TENANTRY_INSTANCE": str(root / "instance")})
server.start(Patience(30))
print(server.port, flush=True)
signal.pause()
"""


def test_a_server_does_not_outlive_a_doctor_who_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS, str(tmp_path)]
    with subprocess.Popen(command, env=ENVIRONMENT, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as doctor:
        assert doctor.stdout is not None
        port = int(doctor.stdout.readline())
        doctor.kill()

    def refused() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) != 0

    wait_until(refused)
