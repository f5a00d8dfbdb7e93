"""Headers that forward, in all combinations, sent to nginx: behind it they are as if they had not been sent.

The same ten kinds of headers as at the server's own door, each with hostile values by turns, at pages of a tenant by
host, by path and by domain, of nobody, and of nginx itself. An application tells all that it sees: every answer must be
that to a request that claims nothing, byte for byte but for what each request has anew, the client's address included.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tenantry.operations import NewTenant
from tests import edges
from tests.edges import DOMAIN, Edge, Line
from tests.proofs import forwarding
from tests.proofs.forwarding import COMBINATIONS, claims

__all__ = ["COMBINATIONS"]

_NAME, _CUSTOM = "mirror", "mirror.example.net"
# Host, path, and whether they are asked for at the port of http.
PLACES = (
    (f"{_NAME}.{DOMAIN}", "/seen", False),
    (DOMAIN, f"/t/{_NAME}/seen", False),
    (_CUSTOM, "/seen", False),
    (f"{_NAME}.{DOMAIN}", "/away", False),
    (DOMAIN, f"/t/{_NAME}", False),
    (f"nobody.{DOMAIN}", "/", False),
    (DOMAIN, "/", False),
    (f"{_NAME}.{DOMAIN}", "/seen?x=1", True),
    (_CUSTOM, "/seen", True),
)
# Told anew in each answer.
_ANEW = frozenset({"HTTP_X_REQUEST_ID"})
_CHANGING = frozenset({"date", "server", "connection"})


@dataclass(slots=True)
class Spoofed:
    """How many answers were compared with those to requests that claim nothing, and which differ."""

    answers: int = 0
    combinations: int = 0
    statuses: set[int] = field(default_factory=set)
    differ: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.answers:,} answers to {self.combinations:,} combinations"


def settle(edge: Edge) -> None:
    """Add the tenant that tells what it sees."""
    with edge.desk() as desk:
        desk.add(
            NewTenant(name=_NAME, application=f"{forwarding.__name__}:echo", path=True, domains=(_CUSTOM,), trust=True)
        )
    edge.ca.issue(_CUSTOM)


def run(edge: Edge, combinations: Sequence[int]) -> Spoofed:
    """Send combinations to every place, and compare each answer."""
    found = Spoofed(combinations=len(combinations))
    for place in PLACES:
        visitor = _Visitor(edge, *place)
        try:
            wanted = [visitor.ask(0) for _ in range(2)][-1]  # the first one may be built for
            for combination in combinations:
                got = visitor.ask(combination)
                found.answers += 1
                if got != wanted:
                    found.differ.append(f"{place} with {spoken(combination)}: {got} and not {wanted}")
        finally:
            visitor.close()
        assert isinstance(wanted[0], int)
        found.statuses.add(wanted[0])
    return found


def spoken(combination: int) -> str:
    """Spell the headers of a combination, which name hosts as they are here."""
    said = "".join(f"{name}: {value}\r\n" for name, value in claims(combination))
    return said.replace("globex.localhost", f"globex.{DOMAIN}").replace("localhost,", f"{DOMAIN},")


class _Visitor:
    """Who asks for one page, on one connection after the other."""

    def __init__(self, edge: Edge, host: str, path: str, plain: bool) -> None:
        self._edge = edge
        self._host, self._path, self._plain = host, path, plain
        self._line: Line | None = None

    def ask(self, combination: int) -> tuple[object, ...]:
        """Ask with a combination of headers, and return what of the answer is the same each time."""
        if self._line is None:
            self._line = self._edge.client(self._host, plain=self._plain)
        more = f"{spoken(combination)}Cookie: theirs=1\r\n"
        status, headers, body = self._line.ask(self._path, self._host, more).answer()
        if headers.get("connection") == "close":  # as nginx does after a thousand
            self.close()
        left = sorted((name, value) for name, value in headers.items() if name not in _CHANGING)
        if not body.startswith(b"{"):
            return status, left, body
        facts = json.loads(body)
        for one in _ANEW:
            facts["environ"].pop(one)
        return status, left, facts

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()
        self._line = None


def full(folder: Path, combinations: Sequence[int]) -> Spoofed:
    """Send them to the oldest nginx there is and to the newest."""
    whole = Spoofed(combinations=len(combinations))
    for number, program in enumerate((edges.system(), edges.newest())):
        root = folder / f"{number}"
        root.mkdir()
        with edges.edged(root, program=program) as edge:
            settle(edge)
            found = run(edge, combinations)
        whole.answers += found.answers
        whole.statuses |= found.statuses
        whole.differ += found.differ
    return whole
