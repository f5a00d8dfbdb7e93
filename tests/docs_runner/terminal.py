"""A process on a terminal of its own, as its reader has one, and whether it printed what the page shows."""

import codecs
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PATIENCE = 60.0
_LINGERING = 2.0


class Terminal:
    """A process that believes to be watched; what it prints is read as it comes, until `end` or `close`."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._master, slave = os.openpty()
        try:
            self._child = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._master)
            raise
        finally:
            os.close(slave)
        self._printed = ""
        self._over = False
        self._news = threading.Condition()
        self._reading = threading.Thread(target=self._read, name="terminal")
        self._reading.start()

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        data = b"-"
        while data:
            data = b""
            with suppress(OSError):  # what Linux raises when the last process has let go of the terminal
                data = os.read(self._master, 65536)
            with self._news:
                self._printed += decoder.decode(data).replace("\r\n", "\n")
                self._over = not data
                self._news.notify_all()

    def printed(self) -> str:
        """Return what was printed by now."""
        with self._news:
            return self._printed

    def until(self, enough: Callable[[str], bool]) -> bool:
        """Wait until enough was printed, spelled plainly; false if the process ended, or time did, before."""
        with self._news:
            self._news.wait_for(lambda: self._over or enough(plain(self._printed)), PATIENCE)
            return enough(plain(self._printed))

    def wait(self) -> int:
        """Wait for the end of the process, end it if that takes too long, and return its exit code."""
        try:
            return self._child.wait(PATIENCE)
        finally:
            self.close()

    def end(self) -> int:
        """Stop the process by SIGTERM and return its exit code."""
        self._child.terminate()
        return self.wait()

    def close(self) -> None:
        """End the process and whatever of it still holds the terminal; idempotent."""
        if self._master < 0:
            return
        if self._child.poll() is None:
            self._kill()
            self._child.wait(PATIENCE)
        self._reading.join(_LINGERING)
        if self._reading.is_alive():
            self._kill()
            self._reading.join(PATIENCE)
        os.close(self._master)
        self._master = -1

    def _kill(self) -> None:
        """End the whole group, which nobody else can be in: one of it is known to be alive."""
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)


def plain(text: str) -> str:
    """Spell what was printed so that widths do not matter: no blank lines, single blanks, short rules.

    That a command is waiting for something is told on a slow machine and not on a quick one: no page depends on it.
    """
    lines = (re.sub("─+", "─", " ".join(line.split())) for line in text.splitlines(keepends=True))
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("Waiting for "))


def pattern(shown: Sequence[str]) -> re.Pattern[str]:
    """Make a pattern of what a page shows: `...` is any text, and alone in a line any number of lines."""
    parts = []
    for line in plain("\n".join(shown)).splitlines():
        if line == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*?".join(map(re.escape, line.split("..."))) + r"\n")
    return re.compile("".join(parts))
