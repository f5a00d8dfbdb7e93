"""Put a new process of the same command in the place of this one, and drop nothing.

The new one gets the listening sockets, so that there is no moment at which nobody listens. It says when it answers;
then this one leaves. Until then nothing has changed: if the new one fails, this one goes on.
"""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tenantry.workers.command import Command
from tenantry.workers.hangup import Hangup
from tenantry.workers.heir import Heir, Passed
from tenantry.workers.notify import Supervisor

_log = logging.getLogger(__name__)

# Seconds for the thread to see that it is over.
_SEES = 5.0
# The first process of a container takes the container with it.
_FIRST_OF_ALL = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds that a new process has until it answers, and to finish what it may have begun if it is not wanted."""

    ready: float = 60.0
    finish: float


class Serving(Protocol):
    """What is to be replaced."""

    @property
    def stopping(self) -> bool:
        """Tell whether it is about to end."""

    def leave(self) -> None:
        """Have it end, as another one answers now."""


class Succession:
    """Wait on a thread of its own for somebody to ask, by `hangup`, for a new process; from `begin` to `close`.

    `passing` tells what the new one gets.
    """

    def __init__(self, hangup: Hangup, command: Command, supervisor: Supervisor, patience: Patience) -> None:
        self.hangup = hangup
        self._command = command
        self.supervisor = supervisor
        self._patience = patience
        self._heir: Heir | None = None
        self._thread: threading.Thread | None = None

    def begin(self, serving: Serving, passing: Callable[[], Sequence[Passed]]) -> None:
        """Begin to do what is asked, or was asked before."""
        self._thread = threading.Thread(target=self._work, args=(serving, passing), name="succession", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more wishes, and wait until a process that is not wanted any more is told so."""
        self.hangup.close()
        if self._thread is not None:
            self._thread.join(_SEES)

    def _work(self, serving: Serving, passing: Callable[[], Sequence[Passed]]) -> None:
        while self.hangup.asked():
            if self._heir is not None:
                _log.info("SIGHUP is for process %d, which has taken over", self._heir.process)
            elif serving.stopping:
                _log.info("SIGHUP comes too late: this process stops")
            elif reason := self._refusal():
                _log.error("SIGHUP is refused: %s", reason)
            else:
                self._hand_over(serving, passing)

    def _refusal(self) -> str:
        """Say why the end of this process would be that of its successor, or nothing."""
        if os.getpid() == _FIRST_OF_ALL:
            return "the end of process 1 is that of its container; start a new container instead"
        if self.hangup.takes_terminal_along():
            return "the end of this process is that of its terminal; start it from a shell, or by nohup"
        return ""

    def _hand_over(self, serving: Serving, passing: Callable[[], Sequence[Passed]]) -> None:
        self.supervisor.reloading()
        try:
            heir = Heir(self._command, passing(), outlives_terminal=self.hangup.outlives_terminal)
        except (OSError, ValueError) as error:
            self._go_on(f"a new process could not be started: {error}")
            return
        _log.info("process %d is started, to take over when it answers", heir.process)
        try:
            if heir.answers(self._patience.ready, lambda: not serving.stopping) and not serving.stopping:
                self._leave(serving, heir)
            else:
                self._stay(serving, heir)
        finally:
            heir.close()

    def _leave(self, serving: Serving, heir: Heir) -> None:
        self._heir = heir
        self.supervisor.replaced(heir.process)
        serving.leave()
        _log.info("process %d has taken over; this one finishes what it has begun", heir.process)
        if self.hangup.again():  # asked for while this was under way, perhaps for a newer release
            heir.ask()
        heir.let_go()

    def _stay(self, serving: Serving, heir: Heir) -> None:
        code = heir.exit_code(0.0)
        if serving.stopping:
            _log.info("process %d is not wanted any more: this one stops", heir.process)
        elif code is None:
            self._go_on(f"process {heir.process} does not answer after {self._patience.ready:g} s and is ended")
        else:
            self._go_on(f"process {heir.process} has ended with {code} before it answered; what it said stands above")
        if code is None:
            heir.end(self._patience.finish)

    def _go_on(self, reason: str) -> None:
        _log.error("nothing is handed over, this process goes on: %s", reason)
        self.supervisor.ready(status=reason)
