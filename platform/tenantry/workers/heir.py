"""A process that is started to take the place of this one."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

from tenantry.workers.command import Command
from tenantry.workers.given import COUNT, FIRST, NAMES, PROCESS, READY

# A name that `given` knows, and a descriptor of this process.
Passed = tuple[str, int]

# What the new process runs first: it puts the descriptors where the protocol has them, and writes its own number down.
# Kept in memory, as the files of the release that runs here may be gone by now.
_LAUNCH = """
import fcntl, os, signal, sys
given, first, process, outlives, *command = sys.argv[1:]
given, first = [int(number) for number in given.split(",")], int(first)
held = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, first + len(given)) for number in given]
for number in given:
    os.close(number)
for place, number in enumerate(held, first):
    os.dup2(number, place)
if outlives:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.environ[process] = str(os.getpid())
os.execv(command[0], command)
"""
# How often is looked whether it is still wanted, in milliseconds.
_LOOK = 100
# Seconds from when it has closed its side of the pipe to its end.
_LAST_WORDS = 5.0


class Heir:
    """The new process; whoever has started it waits until it `answers`, or ends it.

    It inherits `passed`, and the wish to outlive its terminal.
    """

    def __init__(self, command: Command, passed: Sequence[Passed], *, outlives_terminal: bool) -> None:
        self._reading, writing = os.pipe()
        given = [*passed, (READY, writing)]
        descriptors = [descriptor for _, descriptor in given]
        spelled = ",".join(map(str, descriptors))
        launch = (
            sys.executable,
            "-I",
            "-S",
            "-c",
            _LAUNCH,
            spelled,
            str(FIRST),
            PROCESS,
            "yes"[: 3 * outlives_terminal],
        )
        known = {COUNT: str(len(given)), NAMES: ":".join(name for name, _ in given)}
        try:
            self._child = subprocess.Popen(  # noqa: S603 - the words by which this very process was started
                [*launch, *command.words],
                cwd=command.folder,
                start_new_session=outlives_terminal,
                env={**command.environment, **known},
                pass_fds=descriptors,
            )
        except BaseException:
            os.close(self._reading)
            raise
        finally:
            os.close(writing)
        self.process = self._child.pid

    def answers(self, seconds: float, wanted: Callable[[], bool]) -> bool:
        """Wait until it says that it answers; False if it ends, takes longer, or is not wanted any more."""
        end = monotonic() + seconds
        news = select.poll()  # the descriptor may be too large a number for `select`
        news.register(self._reading, select.POLLIN)
        # What it has started itself may hold the pipe open after its end.
        while wanted() and monotonic() < end and self._child.poll() is None:
            if news.poll(_LOOK):
                said = os.read(self._reading, 1)
                if not said:
                    self.exit_code(_LAST_WORDS)
                return bool(said)
        return False

    def exit_code(self, seconds: float) -> int | None:
        """Return the exit code, less than zero for a signal, or None if it has not ended within so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            return self._child.wait(seconds)
        return None

    def end(self, patience: float) -> None:
        """End it: what it may have begun it finishes, for at most `patience` seconds."""
        self._child.terminate()
        if self.exit_code(patience) is None:
            self._child.kill()
            self._child.wait()

    def ask(self) -> None:
        """Pass on that it shall start anew."""
        self._child.send_signal(signal.SIGHUP)

    def let_go(self) -> None:
        """Leave it alone: it goes on after the end of this process, which waits for it no more."""
        self._child.returncode = 0  # else it is complained of that it still runs

    def close(self) -> None:
        """Close this side of the pipe."""
        os.close(self._reading)
