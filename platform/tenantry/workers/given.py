"""What a process was given when it was started, by systemd's protocol: sockets that listen already, from 3 on.

`LISTEN_FDS` counts them, `LISTEN_PID` says who is meant, `LISTEN_FDNAMES` names them. A process that hands over gives
two more, by names of our own: where to say that one answers, and the sign at the door.
"""

import os
import socket
import stat
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

from tenantry.errors import Invalid

FIRST = 3
COUNT, PROCESS, NAMES = "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"
READY = "tenantry-ready"
SIGN = "tenantry-sign"
SOCKET = "tenantry-socket"

_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


@dataclass(slots=True)
class Given:
    """The sockets, and of a predecessor its number, the sign, and where it waits to hear; closed by who was given it.

    `sign` is a descriptor that whoever uses it takes out.
    """

    sockets: list[socket.socket] = field(default_factory=list)
    sign: int | None = None
    predecessor: int | None = None
    _ready: int | None = None

    def ready(self) -> None:
        """Tell the predecessor, if there is one, that this process answers; it may be gone by now."""
        ready, self._ready = self._ready, None
        if ready is not None:
            with suppress(OSError):
                os.write(ready, b"ready")
            os.close(ready)

    def take_sign(self) -> int | None:
        """Take the descriptor of the sign; who takes it closes it."""
        sign, self.sign = self.sign, None
        return sign

    def close(self) -> None:
        """Close what nobody has taken; idempotent."""
        for sock in self.sockets:
            sock.close()
        for descriptor in (self._ready, self.take_sign()):
            if descriptor is not None:
                os.close(descriptor)
        self._ready = None

    def __enter__(self) -> "Given":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def given(environment: MutableMapping[str, str], first: int = FIRST) -> Given:
    """Take what this process was given, and the variables that say so out of `environment`.

    What was meant for another process is none of ours. Raises Invalid where a descriptor is not a listening socket.
    """
    count, process, names = (environment.pop(key, "") for key in (COUNT, PROCESS, NAMES))
    if process != str(os.getpid()) or not count:
        return Given()
    if not (count.isascii() and count.isdigit()):
        raise Invalid(f"{COUNT}={count} is not a number.", hint="Whoever starts this process sets it.")
    made = Given()
    try:
        spelled = names.split(":")
        for number in range(int(count)):
            _take(made, first + number, spelled[number] if number < len(spelled) else "")
    except BaseException:
        made.close()
        raise
    return made


def _take(made: Given, descriptor: int, name: str) -> None:
    try:
        os.set_inheritable(descriptor, False)
        kind = os.fstat(descriptor).st_mode
    except OSError as error:
        raise Invalid(
            f"Descriptor {descriptor}, which {COUNT} promises, is not open.",
            hint="Whoever starts this process sets it.",
        ) from error
    if name == READY and stat.S_ISFIFO(kind):
        made._ready = descriptor
        made.predecessor = os.getppid()
    elif name == SIGN and stat.S_ISREG(kind):
        made.sign = descriptor
    else:
        made.sockets.append(_listening(descriptor, name))


def _listening(descriptor: int, name: str) -> socket.socket:
    with suppress(OSError):
        sock = socket.socket(fileno=descriptor)
        if (
            sock.family in _FAMILIES
            and sock.type == socket.SOCK_STREAM
            and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        ):
            return sock
        sock.detach()  # not ours to close
    raise Invalid(
        f"Descriptor {descriptor}{f' ({name})' if name else ''} was handed in and is no stream socket that listens.",
        hint="Give ListenStream= in the socket unit, and Accept=no.",
    )
