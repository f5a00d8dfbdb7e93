"""Tell a supervisor such as systemd how it goes: a datagram of `NAME=value` lines to the socket that it names."""

import logging
import os
import socket
import time
from collections.abc import Mapping

_log = logging.getLogger(__name__)

_ADDRESS = "NOTIFY_SOCKET"
# A supervisor that does not read must not hold up who serves.
_PATIENCE = 1.0


class Supervisor:
    """Who watches this process; nobody, unless the environment names a socket."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get(_ADDRESS, "")
        # "@" spells an abstract address, which begins with a zero byte; other kinds of sockets are not for us.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address if address.startswith("/") else ""

    def ready(self, status: str = "") -> None:
        """Say that requests are answered, or that they still are."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Say that a successor is being started."""
        # In microseconds of the clock by which the supervisor orders what it is told.
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def replaced(self, process: int) -> None:
        """Say that another process is the one to watch from now on, and that it answers."""
        self._tell(f"MAINPID={process}", "READY=1", "STATUS=")

    def stopping(self) -> None:
        """Say that this is the end."""
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(_PATIENCE)
                sock.connect(self._address)
                sock.sendall("\n".join(lines).encode())
        except OSError as error:
            _log.warning("the supervisor could not be told %s: %s", lines[0], error)
