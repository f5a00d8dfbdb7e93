"""The sign at the door: on which port an instance folder is being served, for the addresses that a command prints.

A file that holds the port and is locked for as long as its server runs; unlocked, it says nothing.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tenantry.placement import Instance
from tenantry.settings import Settings


@contextmanager
def hang(instance: Instance, port: int) -> Iterator[None]:
    """Hang the sign for the time of a `with`; of several servers on one folder the first has it."""
    descriptor = os.open(instance.serving, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(port).encode(), 0)
        yield
    finally:
        os.close(descriptor)


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
