"""How much, how long and how many, and what a slot is asked for."""

from dataclasses import dataclass
from typing import Protocol


class Wanted(Protocol):
    """What a slot is asked for: a tenant, or whatever else has an identity and a revision."""

    @property
    def uid(self) -> str:
        """Whose it is; limits count by it."""

    @property
    def revision(self) -> int:
        """The revision it should be built from."""

    @property
    def moved(self) -> int:
        """The revision below which a live application must no longer answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The pool's bounds; times in seconds.

    `awake` idle applications may keep their connections open, and `waiters` (`waiters_of_one` for one uid) threads may
    wait for builds where the server cannot let requests wait outside them. `builders` builds run at a time; one that
    has taken `slow` seconds keeps nobody waiting any more, until four times as many run. A slot of which `hung` builds
    have not come back is not tried again until its tenant has changed.
    """

    capacity: int = 200
    idle: float = 900.0
    awake: int = 100
    in_flight: int = 128
    deadline: float = 30.0
    wait: float = 5.0
    builders: int = 8
    slow: float = 2.0
    hung: int = 3
    waiters: int = 64
    waiters_of_one: int = 16
