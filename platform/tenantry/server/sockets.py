"""Open the sockets on which a server listens."""

import errno
import socket
import stat
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tenantry.errors import Invalid, Refused, TenantryError, Unavailable
from tenantry.locks import locked

BACKLOG = 1024
# What a host begins with that is a path; and who may connect there: its owner and its group, such as a proxy's.
PATH = "unix:"
_MODE = 0o660
_PATIENCE = 10.0
_ABSENT = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of `host`, all on one port; port 0 picks a free one. A host `unix:/path` has no port.

    Raises Unavailable for a port or path in use, Invalid for a host that is not this machine's, Refused for a port or
    path that this user may not open.
    """
    if host.startswith(PATH):
        return [_listen_at(Path(host.removeprefix(PATH)))]
    for _ in range(10):
        addresses = _addresses(host, port)
        try:
            return _listen_all(addresses, port)
        except OSError as error:
            # Where a host has two addresses, a port that is free on one may be taken on the other: try the next.
            if port == 0 and error.errno == errno.EADDRINUSE:
                continue
            raise _told(error, host, port) from error
    raise Unavailable(f"No port is free on all addresses of {host}.", hint="Give a port with --port.")


def port_of(sockets: Iterable[socket.socket]) -> int:
    """Return the port of the first socket that has one; 0 where all are on paths."""
    return next((sock.getsockname()[1] for sock in sockets if sock.family != socket.AF_UNIX), 0)


Address = tuple[socket.AddressFamily, tuple[Any, ...]]


def _addresses(host: str, port: int) -> list[Address]:
    bare = host.removeprefix("[").removesuffix("]")
    try:
        if not bare:
            raise OSError("an empty host")
        found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, ValueError) as error:
        raise Invalid(f"{host or 'An empty name'} is not a host.", hint="Give an address such as 127.0.0.1.") from error
    return list(dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in found))


def _listen_all(addresses: list[Address], port: int) -> list[socket.socket]:
    with ExitStack() as undo:
        made: list[socket.socket] = []
        absent: OSError | None = None
        for family, sockaddr in addresses:
            try:
                sock = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
                _listen(sock, (sockaddr[0], port, *sockaddr[2:]))
            except OSError as error:
                # "localhost" may name an address of a protocol that is switched off here.
                if error.errno not in _ABSENT:
                    raise
                absent = error
                continue
            made.append(sock)
            port = sock.getsockname()[1]
        if not made:
            raise absent or OSError(errno.EADDRNOTAVAIL, "no address")
        undo.pop_all()
        return made


def _listen(sock: socket.socket, address: tuple[Any, ...]) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(address)
    sock.listen(BACKLOG)


def _told(error: OSError, host: str, port: int) -> TenantryError:
    if error.errno == errno.EADDRINUSE:
        return Unavailable(
            f"Port {port} on {host} is already in use.",
            hint="Stop the other server or give --port 0 for a free one.",
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return Refused(f"This user may not open port {port} on {host}.", hint="Give a port above 1023.")
    return Invalid(f"{host} is not an address of this machine.", hint="Give one that is, such as 127.0.0.1.")


def _listen_at(path: Path) -> socket.socket:
    """Listen at a path; what a server has left there that is gone is taken away, and nothing else."""
    if not path.is_absolute():
        raise Invalid(f"{PATH}{path} is not a whole path.", hint="Give one such as unix:/run/tenantry/socket.")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Between binding and listening it would be taken for a dead one by whoever starts at the same moment.
        with locked(path.parent, _PATIENCE):
            _take_away(path)
            sock.bind(str(path))
            path.chmod(_MODE)
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        refused = error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}
        says = f"{PATH}{path} cannot be opened: {error.strerror or error}."
        raise (Refused if refused else Invalid)(says, hint="See that its folder is there and yours.") from error
    except BaseException:
        sock.close()
        raise
    return sock


def _take_away(path: Path) -> None:
    """Take a socket away on which nobody listens any more, or raise Unavailable."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise Unavailable(f"{path} is there and is no socket.", hint="Move it away, or give another path.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.setblocking(False)  # a queue that is full has somebody behind it, too
        if trial.connect_ex(str(path)) != errno.ECONNREFUSED:
            raise Unavailable(f"{path} is already in use.", hint="Stop the other server, or give another path.")
    path.unlink()
