"""One part while it is tried: what it may use, and what it finds."""

import re
from collections.abc import Sequence
from time import monotonic

from tenantry.doctor.attack.calling import Answer, Caller, Header, OutOfTime, Patience, Request
from tenantry.doctor.attack.scratch import Address, Ground, Tenant
from tenantry.doctor.attack.server import Server
from tenantry.doctor.attack.verdicts import Part, Row, Verdict

CANARY = re.compile(rb"canary-[0-9a-f]{16}")
_TOLD = 5
_SOON = 1.0


class Trial:
    """The ground, the time, and what did not hold. Any thread of the part may tell it."""

    def __init__(self, ground: Ground, patience: Patience) -> None:
        self.ground = ground
        self.patience = patience
        self.tried = 0
        self.faults: list[str] = []
        self.untried = ""

    @property
    def server(self) -> Server:
        """The server that most parts share."""
        return self.ground.server(self.patience)

    def hold(self, promise: str, true: object, otherwise: str) -> None:
        """Count one attempt, and remember what is `otherwise` so where the promise did not hold."""
        self.tried += 1
        if not true:
            self.faults.append(f"{promise}: {otherwise}")

    def nothing(self, why: str) -> None:
        """Say why there was nothing to try."""
        self.untried = why

    def caller(self, server: Server | None = None) -> Caller:
        """Return who calls a server, as the declared proxies would pass it on."""
        return Caller((server or self.server).port, self.patience, self.ground.forwarded())

    def ask(self, address: Address, path: str = "/", method: str = "GET", headers: Sequence[Header] = ()) -> Answer:
        """Send the shared server a request for a page of a address, and read the whole answer."""
        return self.send(address.request(path, method, headers))

    def send(self, request: Request) -> Answer:
        """Send the shared server a request, and read the whole answer."""
        return self.caller().ask(request)

    def whose(self, uid: str) -> str:
        """Name the tenant of a uid; empty for none."""
        return next((tenant.name for tenant in self.ground.everybody if tenant.uid == uid), uid)

    def foreign(self, data: bytes, tenant: Tenant) -> str:
        """Name the first tenant whose canary is in what another one was sent; empty where there is none."""
        found = {canary.decode() for canary in CANARY.findall(data)} - {tenant.canary}
        return next((other.name for other in self.ground.everybody if other.canary in found), "")


def attempt(part: Part, ground: Ground, patience: Patience) -> Row:
    """Try one part and make its row; whatever happens, there is one."""
    began = monotonic()
    trial = Trial(ground, patience)
    try:
        part.attempt(trial)
    except OutOfTime:
        spent = monotonic() - began
        begun = f"not finished in {spent:.0f} s, after {trial.tried} attempts"
        trial.faults.append(begun if trial.tried or spent > _SOON else "not begun: the time of the attack was over")
    except Exception as error:  # noqa: BLE001 - an attack that cannot be finished has not held
        what = " ".join(str(error).split())
        trial.faults.append(f"broken off after {trial.tried} attempts by {type(error).__name__}: {what}")
    verdict = Verdict.FAILED if trial.faults else Verdict.UNTRIED if trial.untried else Verdict.HELD
    says = _few(trial.faults) or (trial.untried or part.says,)
    return Row(part.name, part.promises, trial.tried, verdict, says, monotonic() - began)


def _few(faults: list[str]) -> tuple[str, ...]:
    """Return some of what did not hold, of each promise one at least."""
    firsts = {fault.partition(":")[0]: fault for fault in reversed(faults)}
    others = [fault for fault in faults if fault not in firsts.values()]
    few = (*firsts.values(), *others)[: max(_TOLD, len(firsts))]
    more = len(faults) - len(few)
    return (*sorted(few, key=faults.index), f"and {more} more") if more else tuple(faults)
