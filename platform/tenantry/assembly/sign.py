"""The sign at the door: on which port an instance folder is being served, for the addresses that a command prints.

A file that holds the port and is locked for as long as its server runs; unlocked, it says nothing.
"""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tenantry.placement import Instance, naming
from tenantry.settings import Settings

_log = logging.getLogger(__name__)


@contextmanager
def hang(instance: Instance, port: int) -> Iterator[None]:
    """Hang the sign for the time of a `with`; of several servers on one folder the first has it.

    A disk that does not take it keeps nobody from serving: commands print the port of the settings then.
    """
    descriptor = _written(instance.serving, str(port).encode())
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _written(path: Path, port: bytes) -> int | None:
    """Write the port down and lock it; None if it cannot be, or if another server has the sign."""
    descriptor = None
    try:
        with naming(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            if os.pwrite(descriptor, port, 0) < len(port):  # half a port is another port
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return descriptor
    except BlockingIOError:
        pass
    except OSError as error:
        _log.warning("the port cannot be written down, commands may print another one: %s", error)
    # Unlocked, whatever stands there says nothing.
    if descriptor is not None:
        os.close(descriptor)
    return None


def read(known: Settings) -> Settings:
    """Return the settings with the port that the folder is being served on, or as they are."""
    try:
        descriptor = os.open(Instance(known.instance).serving, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return known
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        port = os.pread(descriptor, 8, 0)
        return replace(known, port=int(port)) if port.isdigit() else known
    finally:
        os.close(descriptor)
    return known
