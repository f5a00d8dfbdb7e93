"""Room on the disk: what a tenant's folder takes there, measured in small steps, and whether more may come."""

import os
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic

# Bytes of a request that may come when the quota is used up, until the tenth above it is too: a sign-in, a form that
# deletes.
SMALL = 16 << 10
# Seconds between two measures of a tenant that is asked, and of one that is not: other processes may write for it.
_SOON, _LATER = 1.0, 30.0


def entries(folder: Path) -> Iterator[int]:
    """Give, one by one, the bytes on the disk of all that is in a folder; what goes away meanwhile is not there.

    Folders count as what they take themselves, links are not followed.
    """
    waiting = [str(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as found:
            for entry in found:
                yield _size(entry)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def kept(folder: Path) -> int:
    """Measure at once what a folder takes on the disk."""
    return sum(entries(folder))


def _size(entry: "os.DirEntry[str]") -> int:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return 0
    # Holes in a file take no room; some file systems tell of no blocks at all.
    return found.st_blocks * 512 or found.st_size


class Full(Exception):
    """There is no room for what a request brings; the text says so to its visitor."""


class Promise:
    """Bytes that were let in, and `since` which measure they count: until one ends that has begun after it."""

    __slots__ = ("_room", "since", "size")

    def __init__(self, room: "Room", size: int, since: int) -> None:
        self._room = room
        self.size = size
        self.since = since

    def take_back(self) -> None:
        """Have them count no more, as they were not written; idempotent."""
        self._room.take_back(self)


class Room:
    """What one tenant keeps, as far as is known: the last measure, and what was let in since then.

    Any thread asks. Any thread measures, and one at a time: another one that would finds nothing to do.
    """

    __slots__ = (
        "__weakref__",
        "_begun",
        "_counted",
        "_folder",
        "_known",
        "_lock",
        "_promised",
        "_walked",
        "_whole",
        "asked",
        "measured",
    )

    def __init__(self, folder: Path) -> None:
        self.asked = False
        self.measured = 0.0
        self._folder = folder
        self._lock = threading.Lock()
        self._known = 0
        self._whole = False
        # Bytes let in before the measure under way, and since it has begun.
        self._promised = [0, 0]
        # How many measures have begun, which of them was the last to come to its end, and whether one is under way.
        self._begun = self._counted = 0
        self._walked = False

    @property
    def used(self) -> int:
        """Return the bytes that it takes, or will when all is written that was let in."""
        return self._known + sum(self._promised)

    def due(self, now: float) -> bool:
        """Tell whether it is to be measured anew, and nobody is about it."""
        old = not self._whole or now - self.measured > (_SOON if self.asked else _LATER)
        return old and not self._walked

    def measure(self) -> Generator[None, None, None]:
        """Measure anew, in as many steps as there are files and folders; in none while another thread does."""
        with self._lock:
            if self._walked:
                return
            self._walked, self.asked = True, False
            self._begun += 1
            self._promised = [sum(self._promised), 0]
        try:
            total = 0
            for size in entries(self._folder):
                total += size
                if not self._whole:
                    self._known = max(self._known, total)  # it is more than that, and better than nothing
                yield
            with self._lock:
                self._known, self._whole = total, True
                self._promised[0] = 0
                self._counted = self._begun
                self.measured = monotonic()
        finally:
            self._walked = False

    def promise(self, quota: int, length: int | None) -> Promise:
        """Let in a request that writes so many bytes, or raise Full; None is a length nobody knows."""
        size = length or 0
        with self._lock:
            used = self.used
            small = length is not None and length <= SMALL
            if used >= (quota + quota // 10 if small else quota):
                raise Full("This site has no room left.")
            if not small and used + size > quota:
                raise Full("This is more than this site has room for.")
            self._promised[1] += size
            return Promise(self, size, self._begun)

    def take_back(self, promise: Promise) -> None:
        """Count a promise no more, unless a measure has seen by now what became of it."""
        with self._lock:
            if promise.since >= self._counted:
                self._promised[1 if promise.since == self._begun else 0] -= promise.size
            promise.size = 0

    def renew(self) -> None:
        """Begin anew in a forked child, where whoever has measured or asked is not."""
        self._lock = threading.Lock()
        self._walked = False
