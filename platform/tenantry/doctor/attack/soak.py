"""Many visitors of many tenants at once, with few live applications: nobody may see what is another's.

What one tenant's errors and log lines say is looked at too, in the pages and in the logs of all scratch servers.
"""

import json
import random
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from urllib.parse import quote

from tenantry.doctor.attack.calling import Caller, OutOfTime, Patience
from tenantry.doctor.attack.scratch import Address
from tenantry.doctor.attack.trial import CANARY, Trial
from tenantry.doctor.attack.verdicts import Part

_SECONDS = 4.0
_VISITORS = 8
_TENANTS = 8
_LIVE = 5
_SECRETS = ("/secrets", "/secrets", "/rows", "/who", "/raise", "/exit", "/missing")


def _soak(trial: Trial) -> None:
    ground = trial.ground
    tenants = [*ground.targets[:_TENANTS], *(tenant for tenants in ground.tenants.values() for tenant in tenants)]
    addresses = [address for tenant in tenants for address in ground.addresses(tenant)]
    with ground.serving(trial.patience, capacity=_LIVE) as server:
        end = Patience(trial.patience.left(_SECONDS))
        visitors = [Visitor(trial, trial.caller(server), addresses, end) for _ in range(_VISITORS)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        trial.hold("DATA-1", server.alive, "the server has ended")
    for visitor in visitors:
        trial.tried += visitor.asked
        trial.faults += visitor.faults
    lost = sum(visitor.lost for visitor in visitors)
    asked = sum(visitor.asked for visitor in visitors)
    trial.hold("DATA-1", lost < asked, f"none of {asked} requests had an answer")


SOAK = Part("soak", ("DATA-1", "DATA-2"), 15.0, "nobody was shown what is another's", _soak)


class Visitor(threading.Thread):
    """Asks tenants at random until the time is over, and hangs up now and then."""

    def __init__(self, trial: Trial, caller: Caller, addresses: list[Address], end: Patience) -> None:
        super().__init__(name="soak", daemon=True)
        self.asked = self.lost = 0
        self.faults: list[str] = []
        self._trial = trial
        self._caller = caller
        self._addresses = addresses
        self._end = end
        self._dice = random.Random()  # noqa: S311 - no secret

    def run(self) -> None:
        """Ask until the end."""
        try:
            while self._end.left():
                self.asked += 1
                self._ask(self._dice.choice(self._addresses))
        except OutOfTime:
            pass
        except Exception as error:  # noqa: BLE001 - told of by whoever has started this thread
            self.faults.append(f"DATA-1: a visitor gave up: {type(error).__name__}: {error}")

    def _ask(self, address: Address) -> None:
        own = address.tenant in self._trial.ground.targets
        path = self._dice.choice(_SECRETS) if own else "/"
        if self._dice.random() < 0.05:
            self._hang_up(address, path)
            return
        try:
            answer = self._caller.ask(address.request(path))
        except OSError:
            self.lost += 1
            return
        if whose := self._trial.foreign(answer.whole(), address.tenant):
            self.faults.append(f"DATA-1: {path} of {address.tenant.name} shows what is {whose}'s")
        if answer.by not in {"", address.tenant.uid}:
            self.faults.append(f"DATA-1: {path} of {address.tenant.name} is answered by another")
        if path == "/secrets" and answer.status == 200 and json.loads(answer.body)["before"]:
            self.faults.append(f"DATA-1: {address.tenant.name} finds a context that somebody has left behind")
        if answer.status >= 500 and CANARY.search(answer.whole()):
            self.faults.append(f"DATA-2: the page of an error of {address.tenant.name} tells what was wrong")

    def _hang_up(self, address: Address, path: str) -> None:
        """Send a request and be gone before the answer, without a farewell."""
        with suppress(OSError), self._caller.connect() as sock:
            sock.sendall(address.request(path).spelled())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _logs(trial: Trial) -> None:
    ground = trial.ground
    by_canary = {tenant.canary: tenant for tenant in ground.everybody}
    keys = {tenant.key for tenant in ground.everybody}
    secret = f"visitor-{ground.targets[0].key[:16]}"
    _provoke(trial, secret)
    heard = any(b"forged" in log.read_bytes() for log in ground.logs)
    trial.hold("LOG-1", heard, "what an application has logged is in no log")
    for log in ground.logs:
        for number, line in enumerate(log.read_bytes().splitlines(), 1):
            where = f"line {number} of a log"
            text = line.decode(errors="replace")
            told = _event(line)
            trial.hold("LOG-1", told is not None, f"{where} is no JSON: {text[:80]!r}")
            trial.hold("LOG-1", secret not in text, f"{where} tells a visitor's cookie")
            trial.hold("LOG-1", not any(key in text for key in keys), f"{where} tells a tenant's key")
            for canary in {found.decode() for found in CANARY.findall(line)}:
                whose = by_canary.get(canary)
                fine = whose is None or told is None or told.get("uid") == whose.uid
                trial.hold("DATA-2", fine, f"{where} tells of {whose.name if whose else ''} under another uid")


LOGS = Part("logs", ("DATA-2", "LOG-1"), 8.0, "one event is one line, under its own tenant, without secrets", _logs)

# So many lines at least that are provoked: one of each kind for each address.
_LINES = 12
_FORGED = '\n{"level": "INFO", "uid": "forged", "message": "forged"}\r\n\x1b[2Jforged \u2028forged'


def _provoke(trial: Trial, secret: str) -> None:
    """Have lines logged that try to be two, to be another's, or to tell a secret."""
    ground = trial.ground
    for tenant in ground.targets[:3]:
        for address in ground.addresses(tenant):
            trial.ask(address, f"/log?text={quote(_FORGED)}")
            trial.ask(
                address, "/raise", headers=[("Cookie", f"session_{tenant.uid}={secret}"), ("Authorization", secret)]
            )
            trial.ask(
                address, f"/{quote(_FORGED)}", headers=[("User-Agent", "\x9b31mforged"), ("Referer", f"/?a={secret}")]
            )
    _await(trial, lambda data: data.count(b"forged") >= _LINES)


def _await(trial: Trial, enough: Callable[[bytes], bool]) -> None:
    """Give the logs a moment: who writes them is not who answers."""
    end = monotonic() + trial.patience.left(2.0)
    while not any(enough(log.read_bytes()) for log in trial.ground.logs) and monotonic() < end:
        threading.Event().wait(0.05)


def _event(line: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and not any(byte < 32 for byte in line) else None
