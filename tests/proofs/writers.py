"""Visitors who write all the time, while their tenant is removed, brought back, renamed and cloned by another process.

Two processes serve it. A write counts once its 201 has arrived; after each verb the tenant's database, or its copy in
the trash, holds every write that counted before, and a clone every one that counted before it was begun. Whoever is
sent away, by 308, 404 or 503, has not written and tries again.
"""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tenantry.operations import Clone, NewTenant, Operations
from tenantry.placement import Instance
from tests.benchmarks import children
from tests.proofs import stage
from tests.proofs.flaws import flaws

_PROCESSES = 2
_VISITORS = 4
_PATIENCE = 30.0
_PAUSE = 0.002
# So many more writes are to count between one verb and the next.
_BETWEEN = 25


class Visitor(threading.Thread):
    """One visitor on a connection of its own, who signs under a number that nobody else uses.

    Where to is learned from a 308, as a browser would, and asked of `whom` only where nobody is there.
    """

    def __init__(self, number: int, port: int, whom: Callable[[], str], stop: threading.Event) -> None:
        super().__init__(name=f"visitor {number}", daemon=True)
        self.acknowledged: list[str] = []
        self.answers: Counter[str] = Counter()
        self._number = number
        self._port = port
        self._whom = whom
        self._host = ""
        self._stop_asked = stop

    def run(self) -> None:
        """Sign until told to stop."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE)
        try:
            tries = 0
            while not self._stop_asked.is_set():
                tries += 1
                self._sign(connection, f"{self._number}-{tries}")
        finally:
            connection.close()

    def _sign(self, connection: http.client.HTTPConnection, text: str) -> None:
        self._host = self._host or f"{self._whom()}.{stage.DOMAIN}"
        try:
            connection.request("POST", f"/sign/{text}", headers={"Host": self._host})
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.answers[type(error).__name__] += 1
            return
        self.answers[str(response.status)] += 1
        if response.status == http.HTTPStatus.CREATED:
            self.acknowledged.append(text)
        elif response.status == http.HTTPStatus.PERMANENT_REDIRECT:
            self._host = urlsplit(response.headers["Location"]).netloc
        else:
            self._host = ""
            self._stop_asked.wait(_PAUSE)


@dataclass(slots=True)
class Written:
    """What came of it: how many writes counted, how others were answered, which verbs ran, what is missing where."""

    acknowledged: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    verbs: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verbs = ", ".join(f"{number} {verb}" for verb, number in sorted(self.verbs.items()))
        answers = ", ".join(f"{number} of {status}" for status, number in sorted(self.answers.items()))
        return f"{self.acknowledged} writes counted during {verbs}; answers: {answers}; {len(self.lost)} lost"


class _Town:
    """The tenant, its visitors, and the operator who gives them no rest."""

    def __init__(self, root: Path, operations: Operations, ports: Sequence[int]) -> None:
        self._instance = Instance(root / "instance")
        self._operations = operations
        self._name = "acme"
        self._uid = operations.get("acme").uid
        self._stop = threading.Event()
        self._visitors = [
            Visitor(number, ports[number % len(ports)], lambda: self._name, self._stop) for number in range(_VISITORS)
        ]
        self.written = Written()

    def open(self) -> None:
        for visitor in self._visitors:
            visitor.start()

    def close(self) -> None:
        """Send the visitors home."""
        self._stop.set()
        for visitor in self._visitors:
            if visitor.ident is not None:
                visitor.join(_PATIENCE)
                self.written.answers += visitor.answers
        self.written.acknowledged = len(self._signed())

    def look(self) -> None:
        """Look a last time, when nobody writes any more."""
        self._see("at the end", self._database, self._signed())

    def turn(self, number: int) -> None:
        """Go through all verbs once."""
        for verb in (self._remove, self._undo, self._rename, self._clone):
            if verb != self._undo:  # nobody can write to a removed tenant
                self._await_writes()
            verb(number)
            self.written.verbs[verb.__name__.strip("_")] += 1

    @property
    def _database(self) -> Path:
        return self._instance.placement(self._uid).database

    def _remove(self, number: int) -> None:
        kept = self._operations.remove(self._name)
        trash = self._instance.trash / self._uid / self._database.name
        if kept.trash is None:
            self.written.faults.append("there is nothing in the trash")
        # What was acknowledged on the way out is in there as well: nobody writes to a removed tenant.
        self._see(f"in the trash, turn {number}", trash, self._signed())

    def _undo(self, number: int) -> None:
        self._operations.undo_remove(self._name)
        self._see(f"after undo, turn {number}", self._database, self._signed())

    def _rename(self, number: int) -> None:
        self._name = self._operations.rename(self._name, f"acme-{number}").tenant.name
        self._see(f"after the rename, turn {number}", self._database, self._signed())

    def _clone(self, number: int) -> None:
        before = self._signed()
        made = self._operations.clone(self._name, Clone(f"copy-{number}")).tenant
        copied = self._instance.placement(made.uid).database
        self._see(f"in the clone, turn {number}", copied, before)
        self._see(f"after the clone, turn {number}", self._database, self._signed())
        if strangers := set(stage.signatures(copied)) - set(stage.signatures(self._database)):
            self.written.faults.append(f"the clone of turn {number} has what its source has not: {sorted(strangers)}")

    def _signed(self) -> set[str]:
        return {text for visitor in self._visitors for text in list(visitor.acknowledged)}

    def _see(self, when: str, database: Path, signed: set[str]) -> None:
        missing = signed - set(stage.signatures(database))
        self.written.lost += [f"{when}: {text}" for text in sorted(missing)]

    def _await_writes(self) -> None:
        deadline, enough = time.monotonic() + _PATIENCE, len(self._signed()) + _BETWEEN
        while len(self._signed()) < enough:
            if time.monotonic() > deadline:
                raise AssertionError(f"nobody can write any more: {[visitor.answers for visitor in self._visitors]}")
            self._stop.wait(_PAUSE)


def run(folder: Path, turns: int) -> Written:
    """Let the operator go so many turns, each of all verbs, and tell what became of the writes."""
    Instance(folder / "instance").prepare()
    with stage.opened(folder) as operations:
        operations.add(NewTenant("acme", config={"SIGN_UP_OPEN": True}))
    more = {key: value for key, value in stage.settings(folder).items() if key in {"application", "domain"}}
    with ExitStack() as serving:
        ports = [serving.enter_context(children.tenantry(folder, **more)).port for _ in range(_PROCESSES)]
        with stage.opened(folder) as operations:
            town = _Town(folder, operations, ports)
            town.open()
            try:
                for number in range(turns):
                    town.turn(number)
            finally:
                town.close()
            town.look()
    town.written.faults += flaws(folder)
    return town.written
