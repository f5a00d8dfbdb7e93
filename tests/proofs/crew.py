"""A crew: processes forked from a warmed one, who all begin at the same moment and tell what became of it."""

import json
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tenantry.errors import TenantryError
from tenantry.operations import Operations
from tests.proofs import stage

# Runs a verb as the member of that number; what it returns may tell by `changed` that nothing was to be done.
Part = Callable[[Operations, int], object]

_PATIENCE = 30.0
_READY = "ready"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one member's verb: whether it changed something, or which error it met, after how many seconds.

    `family` is the class of the error, empty without one.
    """

    member: int
    changed: bool
    family: str
    says: str
    seconds: float


@dataclass(slots=True)
class _Member:
    pid: int
    said: int
    heard: int
    rest: bytes = b""


class Crew:
    """So many processes, ready for the parts that were known when they were forked.

    A member that does not come to its end in time is killed and replaced by a fresh one.
    """

    def __init__(self, parts: Sequence[Part], size: int, deadline: float) -> None:
        self._parts = parts
        self._deadline = deadline
        self._gate = os.pipe()
        self._members: list[_Member] = []
        for number in range(size):
            self._members.append(self._fork(number))

    def __enter__(self) -> "Crew":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self._members:
            self._dismiss(member)
        for descriptor in self._gate:
            os.close(descriptor)

    def play(self, root: Path, parts: Sequence[int]) -> list[Outcome | None]:
        """Let each member play its part, by its number, on one stage; None for one that did not end in time."""
        for member, part in zip(self._members, parts, strict=True):
            os.write(member.said, json.dumps([str(root), part]).encode() + b"\n")
        ready = [self._hear(member, time.monotonic() + _PATIENCE) for member in self._members]
        assert all(word == _READY for word in ready), f"not everybody was ready: {ready}"
        os.write(self._gate[1], b"." * len(self._members))
        deadline = time.monotonic() + self._deadline
        outcomes: list[Outcome | None] = []
        for number, member in enumerate(self._members):
            told = self._hear(member, deadline)
            outcomes.append(None if told is None else Outcome(number, **json.loads(told)))
            if told is None:
                self._dismiss(member)
                self._members[number] = self._fork(number)
        return outcomes

    def _hear(self, member: _Member, deadline: float) -> str | None:
        """Read a line, or None if it does not come in time."""
        while b"\n" not in member.rest:
            ready, _, _ = select.select([member.heard], [], [], max(deadline - time.monotonic(), 0.0))
            more = os.read(member.heard, 65536) if ready else b""
            if not more:
                return None
            member.rest += more
        line, _, member.rest = member.rest.partition(b"\n")
        return line.decode()

    def _dismiss(self, member: _Member) -> None:
        os.kill(member.pid, signal.SIGKILL)
        os.waitpid(member.pid, 0)
        os.close(member.said)
        os.close(member.heard)

    def _fork(self, number: int) -> _Member:
        orders, said = os.pipe()
        heard, telling = os.pipe()
        pid = os.fork()
        if not pid:
            # Not to be heard here, or nobody's end would be: neither that of the others nor that of the parent.
            for descriptor in (said, heard, self._gate[1], *(kept.said for kept in self._members)):
                os.close(descriptor)
            self._serve(number, orders, telling)
        os.close(orders)
        os.close(telling)
        return _Member(pid, said, heard)

    def _serve(self, number: int, orders: int, telling: int) -> None:
        """Be a member: play what is ordered until the parent hangs up."""
        try:
            with os.fdopen(orders) as lines:
                for line in lines:
                    root, part = json.loads(line)
                    with stage.opened(Path(root)) as operations:
                        os.write(telling, f"{_READY}\n".encode())
                        os.read(self._gate[0], 1)
                        told = _play(self._parts[part], operations, number)
                    os.write(telling, json.dumps(told).encode() + b"\n")
        finally:
            os._exit(0)


def _play(part: Part, operations: Operations, number: int) -> dict[str, object]:
    begin = time.perf_counter()
    changed, family, says = False, "", ""
    try:
        changed = bool(getattr(part(operations, number), "changed", True))
    except TenantryError as error:
        family, says = type(error).__name__, error.says
    except Exception as error:
        family, says = f"not of the house: {type(error).__name__}", str(error)
    return {"changed": changed, "family": family, "says": says, "seconds": time.perf_counter() - begin}
