"""Asking the DNS, with an answer for everything that it may say: plain values, whoever's name it is.

What asks is dnspython, in `asking`; it takes as long to import as all the rest of a command, so that nobody imports it
who does not ask.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from types import ModuleType
from typing import Protocol

# How long one question may take, over all servers and tries.
PATIENCE = 5.0


class Outcome(Enum):
    """How a question has ended: with records, without the name, without such records, badly, or with silence."""

    FOUND = auto()
    NO_NAME = auto()
    NOTHING = auto()
    FAILED = auto()
    SILENT = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the DNS has said of a name.

    `values` are the records': an address, a name, the text of a TXT record in one piece, `0 issue "ca.example"` as
    `0 issue ca.example`. `aliases` are the names to which a CNAME led from the one that was asked for, in their order.
    `seconds` is for how long those who were asked may remember this. `says` tells, of a failure, what the servers said,
    and of silence who was silent.
    """

    outcome: Outcome
    values: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    seconds: int = 0
    says: str = ""


class Asks(Protocol):
    """Whatever answers questions to the DNS."""

    def ask(self, name: str, kind: str) -> Answer:
        """Ask for the records of one kind of a name, following its aliases."""
        ...


class Resolver:
    """Whom to ask: `servers` as `ip:port`, else the system's. Any thread may ask; nothing is kept."""

    def __init__(self, servers: Sequence[str] = (), seconds: float = PATIENCE) -> None:
        self._servers = tuple(servers)
        self._seconds = seconds

    def ask(self, name: str, kind: str) -> Answer:
        """Ask for the records of one kind (A, AAAA, CAA, CNAME, TXT) of a name, following its aliases.

        Unavailable where the system names no server; Invalid for what the DNS cannot spell. All else is an answer.
        """
        answer: Answer = _asking().ask(self._servers, self._seconds, (name, kind))
        return answer


def _asking() -> ModuleType:
    return importlib.import_module("tenantry.resolver.asking")
