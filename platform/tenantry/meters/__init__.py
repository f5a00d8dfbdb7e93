"""What each tenant has used of its shares in this process: requests in a time, and room on the disk.

And how large a body it takes, whatever was known of it when that was read. A tenant without any such limit pays
nothing: its application is not even wrapped. What counts requests
takes a sixth of a second to import, and is imported for the first tenant that has a rate.
"""

import importlib
import threading
from collections.abc import Generator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from tenantry import forks
from tenantry.errors import Shortage, Unavailable
from tenantry.meters.disk import Full, Room, kept
from tenantry.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from tenantry.meters.rates import Rates

__all__ = ["Meters", "Room", "kept"]

# Files and folders that are looked at in one round, and the seconds that it may take.
_AT_ONCE = 2000
_SECONDS = 0.02
_STEPS = 100
# Seconds after which counts of requests that nobody needs any more are dropped.
_SWEEP = 5.0
# Methods that write nothing, and the one that makes room.
_FREE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "DELETE"})


class Meters:
    """The meters of all tenants of one process; any thread may read them, one does the rounds.

    Counts outlive the applications that are counted, so that a new build begins no new count; what a tenant keeps on
    the disk is known for as long as it is live.
    """

    def __init__(self, at_once: int = _AT_ONCE) -> None:
        self._at_once = at_once
        self._lock = threading.Lock()
        self._rates: Rates | None = None
        self._swept = monotonic()
        self._rooms: WeakValueDictionary[str, Room] = WeakValueDictionary()
        self._walk: Generator[None, None, None] | None = None
        forks.renewed(self)

    def metered(self, app: "WSGIApplication", uid: str, policy: Policy, folder: Path) -> "WSGIApplication":
        """Put the limits of a tenant before its application: Unavailable, with `short`, where one is passed."""
        if policy.quota:
            app = _roomed(app, self._room(uid, folder), policy.quota)
        if policy.max_body:
            app = _bounded(app, policy.max_body)
        return self._rated(app, uid, policy.rate) if policy.rate else app

    def round(self) -> None:
        """Measure some more of what tenants keep on the disk: a chore of the housekeeper, a few milliseconds long."""
        now = monotonic()
        if self._rates is not None and now - self._swept > _SWEEP:
            self._swept = now
            self._rates.sweep()
        left = self._at_once
        while left > 0 and monotonic() - now < _SECONDS:
            if self._walk is None:
                room = self._due(now)
                if room is None:
                    return
                self._walk = room.measure()
            some = min(left, _STEPS)
            done = sum(1 for _ in islice(self._walk, some))
            left -= done + 1
            if done < some:
                self._walk = None

    def close(self) -> None:
        """Let go of the folder that is being looked through; idempotent."""
        walk, self._walk = self._walk, None
        if walk is not None:
            with suppress(ValueError):  # a round that has not come back is in the middle of it
                walk.close()

    def _rated(self, app: "WSGIApplication", uid: str, rate: str) -> "WSGIApplication":
        with self._lock:
            if self._rates is None:
                self._rates = importlib.import_module("tenantry.meters.rates").Rates()
            hit = self._rates.counter(rate, uid)

        def rated(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
            wait = 0 if "tenantry.probe" in environ else hit()
            if wait:
                raise _short(
                    Shortage.RATE, "This site has had too many requests.", "Please try again in a moment.", wait
                )
            return app(environ, start_response)

        return rated

    def _room(self, uid: str, folder: Path) -> Room:
        """Find how much a tenant keeps; one that has just become live is measured as far as that is quick."""
        with self._lock:
            room = self._rooms.get(uid)
            if room is not None:
                return room
            room = self._rooms[uid] = Room(folder)
        first = room.measure()
        for _ in islice(first, self._at_once):
            pass
        first.close()
        return room

    def _due(self, now: float) -> Room | None:
        """Choose the tenant that was measured the longest ago, among those of which that was too long ago."""
        with self._lock:
            due = [room for room in self._rooms.values() if room.due(now)]
        return min(due, key=lambda room: room.measured, default=None)

    def renew(self) -> None:
        """Begin anew in a forked child: locks, and the walk, whose folder the parent goes on reading.

        The walk is left and not closed: the thread that may be in the middle of it is not here to leave it.
        """
        if self._rates is not None:
            self._rates.renew()
        self._lock = threading.Lock()
        self._walk = None
        self._rooms = WeakValueDictionary(self._rooms)  # that one may be in the middle of, too
        for room in self._rooms.values():
            room.renew()


def _bounded(app: "WSGIApplication", most: int) -> "WSGIApplication":
    """Hold what the server could not, which has read the body: it knows the limits of those that are live."""

    def bounded(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        length = _length(environ)
        if length is None:  # under another server than ours, which counts chunks before it passes them on
            raise _short(Shortage.BODY, "A request's body has to tell its length here.")
        if length > most:
            raise _short(Shortage.BODY, "The request's body is larger than it may be here.")
        return app(environ, start_response)

    return bounded


def _roomed(app: "WSGIApplication", room: Room, quota: int) -> "WSGIApplication":
    def roomed(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        room.asked = True
        if environ["REQUEST_METHOD"] in _FREE:
            return app(environ, start_response)
        try:
            promise = room.promise(quota, _length(environ))
        except Full as error:
            raise _short(Shortage.ROOM, str(error), "Something has to be deleted first.") from error
        if not promise.size:
            return app(environ, start_response)

        def heard(
            status: str, headers: list[tuple[str, str]], exc_info: "OptExcInfo | None" = None, /
        ) -> "Callable[[bytes], object]":
            if status[:1] == "4":
                promise.take_back()
            return start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)

        try:
            return app(environ, heard)
        except BaseException:
            promise.take_back()
            raise

    return roomed


def _length(environ: "WSGIEnvironment") -> int | None:
    """Tell how many bytes a request brings, None where nobody knows."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        return None
    try:
        return max(0, int(environ.get("CONTENT_LENGTH") or 0))
    except ValueError:
        return None


def _short(what: Shortage, says: str, hint: str = "", retry_after: int = 0) -> Unavailable:
    error = Unavailable(says, hint=hint, retry_after=retry_after)
    error.short = what
    return error
