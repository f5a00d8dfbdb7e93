"""The sign at the door: on which port an instance folder is being served, and by which process.

A file of two lines that is locked for as long as its server runs; unlocked, it says nothing. Commands print addresses
with this port, and the number is what a signal is sent to.
"""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tenantry.placement import Instance, naming
from tenantry.settings import Settings

_log = logging.getLogger(__name__)

_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Sign:
    """What hangs at the door; `descriptor` holds the lock and is None where another server has the sign."""

    path: Path
    port: int
    descriptor: int | None

    def renew(self) -> None:
        """Write down, once this process answers, that it is this one: its predecessor's number stood there till now."""
        if self.descriptor is not None:
            try:
                with naming(self.path):
                    _write(self.descriptor, self.port)
            except OSError as error:
                _log.warning("the number of this process cannot be written down: %s", error)


@contextmanager
def hang(instance: Instance, port: int, inherited: int | None = None) -> Iterator[Sign]:
    """Hang the sign for the time of a `with`; of several servers on one folder the first has it.

    What was inherited from a predecessor is kept as it is: the lock is held until both have closed it, so that there is
    no moment without a sign. A disk that does not take it keeps nobody from serving: commands print the port of the
    settings then.
    """
    descriptor = _kept(instance.serving, inherited)
    if descriptor is None:
        descriptor = _written(instance.serving, port)
    try:
        yield Sign(instance.serving, port, descriptor)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _kept(path: Path, inherited: int | None) -> int | None:
    """Return what was inherited, unless the folder is another one by now."""
    if inherited is None:
        return None
    with suppress(OSError):
        if os.path.samestat(os.fstat(inherited), path.stat()):
            return inherited
    os.close(inherited)
    return None


def _written(path: Path, port: int) -> int | None:
    """Write the port down and lock it; None if it cannot be, or if another server has the sign."""
    descriptor = None
    try:
        with naming(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            _write(descriptor, port)
            return descriptor
    except BlockingIOError:
        pass
    except OSError as error:
        _log.warning("the port cannot be written down, commands may print another one: %s", error)
    # Unlocked, whatever stands there says nothing.
    if descriptor is not None:
        os.close(descriptor)
    return None


def _write(descriptor: int, port: int) -> None:
    text = f"{port}\n{os.getpid()}\n".encode()
    if os.pwrite(descriptor, text, 0) < len(text):  # half a port is another port
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(descriptor, len(text))


def read(known: Settings) -> Settings:
    """Return the settings with the port that the folder is being served on, or as they are."""
    try:
        descriptor = os.open(Instance(known.instance).serving, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return known
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        port = os.pread(descriptor, _LONGEST, 0).partition(b"\n")[0]
        return replace(known, port=int(port)) if port.isdigit() else known
    finally:
        os.close(descriptor)
    return known
