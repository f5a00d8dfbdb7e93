"""One real server process on the scratch instance, started by the command that an operator types."""

import os
import signal
import site
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import tenantry
from tenantry.doctor.attack.calling import LOST, Caller, Patience, Request
from tenantry.errors import Unavailable

_STARTED = 20.0
_LOOK = 0.02
_LOG_LINES = 3
_SPAWNED = 5.0
# Reads until whoever has started it is gone, however that ended, and ends the server that was left behind.
_WATCH = "import os, signal, sys; sys.stdin.buffer.read(); os.killpg(int(sys.argv[1]), signal.SIGKILL)"


class Server:
    """A process group of its own, so that whatever it starts ends with it; whoever starts it kills it."""

    def __init__(self, root: Path, log: Path, environment: Mapping[str, str]) -> None:
        self.port = 0
        self.log = log
        self._root = root
        self._environment = {**os.environ, **environment, "PYTHONPATH": _paths(), "PYTHONUNBUFFERED": "1"}
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._swept = False
        self._trouble = ""
        self._spawned = threading.Event()
        self._spawned.set()

    @property
    def alive(self) -> bool:
        """Tell whether the process runs."""
        if self._process is None:
            return False
        if self._process.poll() is None:
            return True
        self._sweep()
        return False

    def start(self, patience: Patience) -> None:
        """Start it and wait until it answers, or raise Unavailable with its last words."""
        self.port = _free_port()
        self._spawned = threading.Event()
        # On a thread: a Ctrl-C, which only the main one hears, could else come between a process and its being known.
        threading.Thread(target=self._spawn, name="spawn", daemon=True).start()
        self._spawned.wait()
        patience = Patience(patience.left(_STARTED))
        while not self._ready(patience):
            if not self.alive:
                raise Unavailable(f"The scratch server did not start: {self._trouble or self._last_words()}")
            threading.Event().wait(_LOOK)

    def _spawn(self) -> None:
        words = [sys.executable, "-m", "tenantry", "--root", str(self._root), "serve", "--no-demo"]
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - ourselves
                    [*words, "--port", str(self.port)],
                    cwd=self._root,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    start_new_session=True,
                )
            self._watch = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-I", "-S", "-c", _WATCH, str(self._process.pid)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self._trouble = str(error)
        finally:
            self._spawned.set()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started."""
        if self._process is not None and self.alive:
            self._process.send_signal(number)

    def wait(self, patience: Patience) -> int | None:
        """Wait for its end and return the exit code; None if it does not end in time."""
        if self._process is None:
            return None
        try:
            code = self._process.wait(patience.left(60.0))
        except subprocess.TimeoutExpired:
            return None
        self._sweep()
        return code

    def kill(self) -> None:
        """End it with SIGKILL, and whatever it has started; idempotent."""
        self._spawned.wait(_SPAWNED)
        if self._watch is not None and self._watch.poll() is None:
            self._watch.kill()  # first: from now on the number may become somebody else's
            self._watch.communicate()
        if self._process is not None and self.alive:
            self._sweep()
            self._process.wait()

    def _sweep(self) -> None:
        """Kill the group once: all of it, or what an application has started and left behind.

        As long as one of the group lives its number is nobody else's; just after the last has ended, nobody's yet.
        """
        if self._process is not None and not self._swept:
            self._swept = True
            with suppress(ProcessLookupError, PermissionError):  # the latter where all that is left was not waited for
                os.killpg(self._process.pid, signal.SIGKILL)

    def _ready(self, patience: Patience) -> bool:
        try:
            return Caller(self.port, patience).ask(Request("127.0.0.1", "/-/readyz")).status == 200
        except LOST:
            return False

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " ".join(lines[-_LOG_LINES:]) or "it said nothing"


def _free_port() -> int:
    """Find a port below those that the system gives to outgoing connections, which might take it in between."""
    for port in range(20000 + os.getpid() % 10000, 32768):
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port
    raise Unavailable("There is no free port on 127.0.0.1.")


def _paths() -> str:
    """Let the child find this very package, however this process has found it."""
    own = str(Path(tenantry.__file__).parents[1])
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    installed = own in {*site.getsitepackages(), site.getusersitepackages()}
    return os.pathsep.join(given if installed or own in given else [*given, own])
