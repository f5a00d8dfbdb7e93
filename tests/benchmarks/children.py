"""Child processes: servers that answer on a port, and sides of a comparison that must not share a process."""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tests import tools
from tests.benchmarks import places

ROOT = Path(__file__).resolve().parents[2]
_STARTED = 30.0
_STOPPED = 60.0

# A side is opened in the child and answers the parent's questions, one at a time, with what JSON can hold.
Side = Callable[[Path], AbstractContextManager[Callable[[str], Any]]]


def environment(settings: Mapping[str, object] | None = None) -> dict[str, str]:
    """Make a child's environment: this checkout, no setting of the operator's own, and those that are given."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TENANTRY_")}
    paths = os.pathsep.join([str(ROOT / "platform"), str(ROOT)])
    given = {f"TENANTRY_{key.upper()}": str(value) for key, value in (settings or {}).items()}
    return {**kept, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", **given}


def processor_time(pid: int) -> float:
    """Return the seconds of processor time that a process has used so far; 0 where the system does not tell."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    # pid (command) state ...: user and system time are the 14th and 15th field, in ticks.
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server:
    """A server in a process of its own, on a port of 127.0.0.1; it is stopped as an operator would, by SIGTERM."""

    def __init__(self, folder: Path, command: Callable[[int], list[str]], env: Mapping[str, str]) -> None:
        self.port = tools.free_port()
        self._log = folder / f"server-{self.port}.log"
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                [sys.executable, *command(self.port)], cwd=folder, env=env, stdout=log, stderr=log
            )

    def await_start(self) -> None:
        """Return once it accepts connections; AssertionError with its log if that takes too long."""
        deadline = time.monotonic() + _STARTED
        while time.monotonic() < deadline and self._child.poll() is None:
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"a server did not start: {self._log.read_text(errors='replace')[-2000:]}")

    def pause(self) -> None:
        """Take its processor time away while another is measured."""
        self._child.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Give it back."""
        self._child.send_signal(signal.SIGCONT)

    def processor_time(self) -> float:
        """Return the seconds of processor time it has used so far; 0 where the system does not tell."""
        return processor_time(self._child.pid)

    def stop(self) -> None:
        """End it, by force if it does not by itself."""
        if self._child.poll() is None:
            self.go_on()
            self._child.terminate()
        try:
            self._child.wait(_STOPPED)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


@contextmanager
def tenantry(folder: Path, **settings: object) -> Iterator[Server]:
    """Serve the instance below `folder` by `tenantry serve`."""

    def command(port: int) -> list[str]:
        return ["-m", "tenantry", "--root", str(folder), "serve", "--port", str(port), "--no-demo"]

    with _running(Server(folder, command, environment(places.settings(folder, **settings)))) as server:
        yield server


@contextmanager
def waitress(folder: Path, application: str) -> Iterator[Server]:
    """Serve one application by waitress-serve, with its defaults."""

    def command(port: int) -> list[str]:
        return ["-m", "waitress", f"--listen=127.0.0.1:{port}", "--call", application]

    with _running(Server(folder, command, environment())) as server:
        yield server


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    try:
        server.await_start()
        yield server
    finally:
        server.stop()


@contextmanager
def ask(side: Side, folder: Path) -> Iterator[Callable[[str], Any]]:
    """Open a side of a comparison in a fresh interpreter; what is yielded puts a question to it."""
    name = f"{side.__module__}:{side.__name__}"
    child = subprocess.Popen(
        [sys.executable, "-m", __name__, name, str(folder)],
        cwd=folder,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    to, back = child.stdin, child.stdout

    def put(question: str) -> Any:
        to.write(question + "\n")
        to.flush()
        answer = back.readline()
        assert answer, f"{name} ended without an answer"
        return json.loads(answer)

    try:
        yield put
    finally:
        to.close()
        try:
            child.wait(_STOPPED)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        back.close()


def main(arguments: list[str]) -> None:
    """Be the child: open the side that the parent names and answer until the parent hangs up."""
    module, _, name = arguments[0].partition(":")
    side: Side = getattr(importlib.import_module(module), name)
    with side(Path(arguments[1])) as answer:
        for question in sys.stdin:
            print(json.dumps(answer(question.strip())), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
