"""Verbs killed with SIGKILL at random moments: after `recover` each is whole or absent, and keeps what it acknowledged.

A warmed parent, in which the application is imported and no registry is open, forks a child. The child opens the desk,
says that it begins, runs the verb, and acknowledges through a pipe the moment the verb has returned. The parent kills
it after a time between none and what the verb takes, and a little more: however few the kills are, they are spread
evenly over that time, from a beginning that is drawn.
"""

import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from statistics import median

from tenantry.errors import reason
from tenantry.placement import Instance
from tests.proofs import shared, stage
from tests.proofs.ends import Ends, Fault, Seen
from tests.proofs.verbs import VERBS, Act, Verb, prepare

RECOVER = "recover"
QUARTERS = 4
_BEGUN, _DONE, _FAILED = b"b", b"d", b"!"
_PATIENCE = 30.0
_CLEAN_RUNS = 3
_TIMED_AGAIN = 50
# So much longer than the verb takes may pass before the kill: some verbs are to be acknowledged, and killed right then.
_BEYOND = 1.15
# From each kill to the next by this share of the time, round and round: the next always meets the widest gap.
_GOLDEN = (5**0.5 - 1) / 2
# Recoveries are killed on folders of each verb, so many runs on each.
_RUNS_EACH = 60
_TRIES = 100
_WORKERS = 2
_MOVING = [verb for verb in VERBS if verb.moves]


@dataclass(slots=True)
class Tally:
    """What came of the runs of one verb.

    `early` were killed before they were acknowledged, of which `whole` had taken effect nevertheless. `spread` counts
    them by the quarter of the verb's time in which the kill came, `mended` those that `recover` had work with.
    `slowest` is the longest that it took, in seconds.
    """

    verb: str
    runs: int = 0
    early: int = 0
    acknowledged: int = 0
    whole: int = 0
    mended: int = 0
    slowest: float = 0.0
    duration: float = 0.0
    spread: list[int] = field(default_factory=lambda: [0] * QUARTERS)
    faults: list[Fault] = field(default_factory=list)

    def count(self, killed: "Killed") -> None:
        """Count one run by how it ended."""
        self.runs += 1
        if killed.acknowledged:
            self.acknowledged += 1
        else:
            self.early += 1
            self.spread[min(int(killed.seconds / self.duration * QUARTERS), QUARTERS - 1)] += 1

    def see(self, seen: Seen, killed: "Killed") -> None:
        """Count what one run has left."""
        self.whole += seen.whole and not killed.acknowledged
        self.mended += seen.mended
        self.slowest = max(self.slowest, seen.seconds)

    def take(self, other: "Tally") -> None:
        """Count the runs of another one as one's own."""
        for name in ("runs", "early", "acknowledged", "whole", "mended"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest, self.duration = max(self.slowest, other.slowest), max(self.duration, other.duration)
        self.spread = [one + another for one, another in zip(self.spread, other.spread, strict=True)]
        self.faults += other.faults

    def __str__(self) -> str:
        quarters = "/".join(map(str, self.spread))
        return (
            f"{self.verb}: {self.runs} runs of {self.duration * 1e3:.1f} ms, {self.early} killed before they were "
            f"acknowledged ({quarters} by quarter), {self.whole} of them whole, {self.mended} mended, "
            f"slowest recovery {self.slowest * 1e3:.0f} ms, {len(self.faults)} faults"
        )


@dataclass(frozen=True, slots=True)
class Killed:
    """How one child ended: whether it had acknowledged, and after how many seconds the kill or that came."""

    acknowledged: bool
    seconds: float
    error: str = ""


def kill_verb(folder: Path, verb: Verb, runs: int, seed: int) -> Tally:
    """Kill a verb so many times."""
    ends = Ends.of_verb(verb, prepare(folder / "base"), folder)
    return _Trial(verb.name, verb.act, ends, seed).repeat(runs)


def kill_recovery(folder: Path, runs: int, seed: int) -> Tally:
    """Kill `recover` itself so many times, on folders that killed verbs have left."""
    left = _left_by_verbs(folder, max(runs // _RUNS_EACH // len(_MOVING), 1), seed)
    total = Tally(RECOVER)
    for number, start in enumerate(left):
        share = runs // len(left) + (number < runs % len(left))
        ends = Ends.of_recovery(start, folder / f"recover-{number}")
        total.take(_Trial(RECOVER, lambda mine: mine.recover(), ends, seed + number).repeat(share))
    return total


def _left_by_verbs(folder: Path, count: int, seed: int) -> list[Path]:
    """Kill each verb of several steps until it has left so many folders that need mending."""
    base = prepare(folder / "base")
    left = []
    for number, verb in enumerate(_MOVING):
        ends = Ends.of_verb(verb, base, folder / f"trial-{number}")
        left += _Trial(verb.name, verb.act, ends, seed).leave(count, folder / f"left-{number}")
    return left


class _Trial:
    """One verb on its stage, killed again and again."""

    def __init__(self, name: str, act: Act, ends: Ends, seed: int) -> None:
        self._name = name
        self._act = act
        self._ends = ends
        self._seed = seed
        self._root = ends.start.with_name(f"try-{os.getpid()}")
        self._tally = Tally(name)
        self._time()

    def _time(self) -> None:
        self._tally.duration = median(self._undisturbed() for _ in range(_CLEAN_RUNS))

    def _undisturbed(self) -> float:
        killed = self._kill(_PATIENCE)
        assert killed.acknowledged, f"{self._name} failed undisturbed: {killed.error}"
        return killed.seconds

    def repeat(self, runs: int) -> Tally:
        """Kill it so many times, some in each of as many processes as there are processors."""
        workers = min(os.cpu_count() or 1, _WORKERS)
        shares = [shared.Share(partial(self._share, range(first, runs, workers))) for first in range(workers)]
        for share in shares:
            self._tally.take(share.result())
        return self._tally

    def _share(self, numbers: Sequence[int]) -> Tally:
        """Kill it, and look each time at what is left once that is recovered."""
        self._root = self._ends.start.with_name(f"try-{os.getpid()}")
        for turn, number in enumerate(numbers):
            if turn and turn % _TIMED_AGAIN == 0:  # others may have come to this machine, or left it
                self._time()
            killed = self._kill(self._delay(number))
            self._tally.count(killed)
            seen = self._ends.look(self._root, killed.acknowledged)
            self._tally.see(seen, killed)
            where = f"{self._name}, seed {self._seed}, run {number}, killed after {killed.seconds * 1e3:.2f} ms"
            if killed.error:
                self._tally.faults.append(Fault("failed", f"{where}: {killed.error}"))
            self._tally.faults += [replace(fault, says=f"{where}: {fault.says}") for fault in seen.faults]
        return self._tally

    def leave(self, count: int, folder: Path) -> list[Path]:
        """Kill it until so many folders are left on which it was cut short, and keep these as they are."""
        left: list[Path] = []
        for number in range(_TRIES):
            if len(left) == count:
                break
            self._kill(self._delay(number))
            if any(Instance(self._root / "instance").staging.iterdir()):
                left.append(stage.copy(self._root, folder / str(number)))
        return left

    def _kill(self, delay: float) -> Killed:
        shutil.rmtree(self._root, ignore_errors=True)
        return kill(stage.copy(self._ends.start, self._root), self._act, delay)

    def _delay(self, number: int) -> float:
        begin = Random(f"{self._seed} {self._name}").random()
        return (begin + number * _GOLDEN) % 1.0 * _BEYOND * self._tally.duration


def kill(root: Path, act: Act, delay: float) -> Killed:
    """Run a verb in a child, kill it `delay` seconds after it began or as soon as it has acknowledged."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        _be_the_child(root, act, writing)
    os.close(writing)
    try:
        said = _read(reading, _PATIENCE)
        begin = time.perf_counter()
        if said == _BEGUN:
            said = _read(reading, delay)
        seconds = time.perf_counter() - begin
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        rest = said + _all(reading)
    finally:
        os.close(reading)
    if _FAILED in rest:
        return Killed(acknowledged=False, seconds=seconds, error=rest.partition(_FAILED)[2].decode())
    return Killed(acknowledged=_DONE in rest, seconds=seconds)


def _be_the_child(root: Path, act: Callable[..., object], writing: int) -> None:
    signal.alarm(int(_PATIENCE) * 2)  # ends this process also where the parent cannot any more
    try:
        with stage.opened(root) as operations:
            os.write(writing, _BEGUN)
            act(operations)
            os.write(writing, _DONE)
            signal.pause()  # alive, and everything still open, until the kill comes
    except BaseException as error:
        with suppress(OSError):
            os.write(writing, _FAILED + reason(error).encode())
    finally:
        os._exit(1)


def _read(descriptor: int, seconds: float) -> bytes:
    """Read a byte, or nothing if none comes in time."""
    ready, _, _ = select.select([descriptor], [], [], max(seconds, 0.0))
    return os.read(descriptor, 1) if ready else b""


def _all(descriptor: int) -> bytes:
    found = b""
    while more := os.read(descriptor, 4096):
        found += more
    return found
