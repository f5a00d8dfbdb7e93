"""Locks among processes: on a file or on a folder, held until its descriptor is closed or its process ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tenantry.errors import Unavailable

PAUSE = 0.05


@contextmanager
def locked(folder: Path, seconds: float = 60.0) -> Iterator[None]:
    """Be the only one, thread or process, who makes files in `folder`; wait at most `seconds`, or raise Unavailable."""
    try:
        descriptor = take(folder, os.O_RDONLY | os.O_DIRECTORY, fcntl.LOCK_EX, seconds, PAUSE / 10)
    except OSError as error:
        raise Unavailable(
            f"The folder {folder} cannot be used: {error.strerror}.", hint="See tenantry doctor."
        ) from error
    if descriptor is None:
        raise Unavailable(f"The folder {folder} is locked by another process.", hint="Try again in a moment.")
    try:
        yield
    finally:
        os.close(descriptor)


def take(path: Path, flags: int, how: int, seconds: float, pause: float = PAUSE) -> int | None:
    """Open a file or a folder (`os.O_*`) and lock it (`fcntl.LOCK_*`); None if others have it for all these seconds.

    Whoever closes the descriptor lets go of it. It is asked for again after each `pause`.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + seconds
    try:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, how | fcntl.LOCK_NB)
                return descriptor
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(pause)
    except BaseException:
        os.close(descriptor)
        raise
