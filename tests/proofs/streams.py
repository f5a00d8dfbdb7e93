"""Live applications come and go in thousands while streams are being read: each stream comes to its end whole.

In one process, with real applications and databases: readers take a chunk here and a chunk there, visitors of cold
tenants have idle applications evicted for them, and those that stream are retired and built anew in the middle of it.
"""

import os
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from tenantry import signals
from tenantry.address import Kind
from tenantry.assembly.platform import Platform, open_platform
from tests.proofs import diary
from tests.sites import Answer, begin, environ_of
from tests.wsgi import call, wait_until

_READERS = 4
_VISITORS = 4
_STREAMING = 20
_SPARE = 20
_COLD = 120
_CHUNKS = 200
# Of so many chunks each reader takes a breath after one, so that a stream lasts through many evictions.
_BREATH = 10
_PATIENCE = 60.0


@dataclass(slots=True)
class Streamed:
    """What came of it: how often an application was disposed of, which streams ended otherwise than whole, the rest."""

    evictions: int = 0
    retired: int = 0
    whole: int = 0
    chunks: int = 0
    broken: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.evictions:,} evictions, {self.retired:,} of them of who was streaming; {self.whole:,} "
            f"streams of {self.chunks} chunks whole"
        )


class Stream:
    """One stream that is being read."""

    def __init__(self, platform: Platform, name: str, chunks: int) -> None:
        self.name = name
        self.answer: Answer = begin(platform.application, environ_of(diary.host(name), f"/stream/{chunks}"))
        self._chunks = iter(self.answer.body)
        self._expected = diary.expected(name, chunks)

    def read(self) -> str | None:
        """Read one chunk: nothing while it goes on, then "whole", or what is wrong with it."""
        found, wanted = next(self._chunks, None), next(self._expected, None)
        if found != wanted:
            return f"{self.name} sends {found!r} for {wanted!r}"[:300]
        return "whole" if found is None else None

    def close(self) -> None:
        """Close it as a server does."""
        close = getattr(self.answer.body, "close", None)
        if close is not None:
            close()


class Show:
    """Everything that goes on at a time, until so many applications have been disposed of."""

    def __init__(self, platform: Platform, names: Sequence[str], streams: int, evictions: int) -> None:
        self.platform = platform
        self.seen = Streamed()
        self._streaming, self._cold = names[:_STREAMING], names[_STREAMING:]
        self._streams = streams
        self._evictions = evictions
        self._lock = threading.Lock()
        self.seen.chunks = _CHUNKS

    def goes_on(self) -> bool:
        return self.seen.evictions < self._evictions and not self.seen.broken and not self.seen.wrong

    def disposed(self, *_: Any, **__: Any) -> None:
        with self._lock:
            self.seen.evictions += 1

    def read(self, seed: int) -> None:
        """Keep a share of the streams open, and read in them in turns by chance."""
        chance = random.Random(seed)
        share = self._streams // _READERS
        mine = [self._open(chance) for _ in range(share)]
        breath = threading.Event()
        while self.goes_on():
            place = chance.randrange(len(mine))
            if self._step(mine[place]):
                mine[place] = self._open(chance)
            if not chance.randrange(_BREATH):
                breath.wait(0.001)
        for stream in mine:  # to the end: what was begun before the last eviction is whole as well
            while not self._step(stream):
                pass

    def _open(self, chance: random.Random) -> Stream:
        """Open a stream; who has just been retired, or finds all places in use, is told to come again, and does."""
        while True:
            stream = Stream(self.platform, chance.choice(self._streaming), self.seen.chunks)
            if stream.answer.code == 200:
                return stream
            stream.close()
            if stream.answer.code != 503:
                self.seen.wrong.append(f"{stream.name} answers {stream.answer.code}")

    def _step(self, stream: Stream) -> bool:
        try:
            said = stream.read()
        except Exception as error:
            said = f"{stream.name}: {error!r}"
        if said is None:
            return False
        stream.close()
        with self._lock:
            if said == "whole":
                self.seen.whole += 1
            else:
                self.seen.broken.append(said)
        return True

    def visit(self, seed: int) -> None:
        """Visit those who are not live, for whom others have to go."""
        chance = random.Random(seed)
        while self.goes_on():
            name = chance.choice(self._cold)
            answer = call(self.platform.application, diary.host(name))
            if answer.status not in {200, 503}:
                self.seen.wrong.append(f"{name} answers {answer.status}")

    def retire(self) -> None:
        """Let go of those who stream, one after the other, as when their data has moved."""
        pause, turn = threading.Event(), 0
        while self.goes_on():
            uid = self.platform.directory.find(Kind.SUBDOMAIN, self._streaming[turn % _STREAMING]).uid
            self.platform.pool.retire([uid])
            self.seen.retired += 1
            turn += 1
            pause.wait(0.02)


def run(folder: Path, streams: int, evictions: int) -> Streamed:
    """Have that many streams read while that many applications are disposed of."""
    names = diary.fill(folder, _STREAMING + _COLD)
    given = {"domain": diary.DOMAIN, "capacity": _STREAMING + _SPARE, "awake": 10, "log_level": "critical"}
    with open_platform(folder, given) as platform:
        for name in names[:_STREAMING]:
            wait_until(lambda name=name: call(platform.application, diary.host(name)).status == 200)  # type: ignore[misc]
        before = _at_rest(platform)
        show = Show(platform, names, streams, evictions)
        with signals.tenant_disposed.connected_to(show.disposed):
            _together(
                [
                    *(lambda seed=seed: show.read(seed) for seed in range(_READERS)),
                    *(lambda seed=seed: show.visit(seed) for seed in range(_VISITORS)),
                    show.retire,
                ]
            )
        after = _at_rest(platform)
        platform.pool.verify()
        show.seen.left = sorted(after - before)
    return show.seen


def _at_rest(platform: Platform) -> set[str]:
    """Let go of all live applications and tell what is open then, but for what the registry keeps for itself."""
    platform.pool.retire()
    wait_until(lambda: "0 retired, 0 leases" in repr(platform.pool), seconds=_PATIENCE)
    end = monotonic() + _PATIENCE
    found = _open_files()
    while any("/tenants/" in name for name in found) and monotonic() < end:
        found = _open_files()
    return found | {f"{platform.pool.live} live"}


def _open_files() -> set[str]:
    found: set[str] = set()
    for number in os.listdir("/dev/fd"):  # noqa: PTH208 - numbers
        with suppress(OSError):
            target = os.readlink(f"/dev/fd/{number}")  # noqa: PTH115 - a text
            if "registry.sqlite3" not in target:
                found.add(f"{number} on {target}" if "/tenants/" in target else target)
    return found


def _together(jobs: Sequence[Callable[[], None]]) -> None:
    """Do all at once, each on a thread of its own, and raise what the first one has raised."""
    errors: list[BaseException] = []

    def work(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
