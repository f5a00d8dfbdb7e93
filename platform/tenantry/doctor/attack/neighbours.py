"""What becomes of a tenant is its own matter: it breaks, is renamed, suspended, removed, or has used up its share."""

import threading
from collections import Counter
from time import monotonic

from tenantry.doctor.attack.calling import Answer
from tenantry.doctor.attack.scratch import Address, Tenant
from tenantry.doctor.attack.slow import Probe
from tenantry.doctor.attack.trial import Trial
from tenantry.doctor.attack.verdicts import Part
from tenantry.errors import Unavailable

_BUILT = 15.0
_FOLLOWED = 5.0
_SLOW = 3.0
_RATE = 5
_PAUSE = 0.05


def _alive(trial: Trial) -> None:
    """See that each of the operator's applications answers, and is nobody else's."""
    ground = trial.ground
    for application, tenants in list(ground.tenants.items()):
        try:
            for address in [address for tenant in tenants for address in ground.addresses(tenant)]:
                answer = _settled(trial, address)
                whose = trial.foreign(answer.whole(), address.tenant)
                trial.hold("DATA-1", not whose, f"{address.host}{address.mount} shows what is {whose}'s")
        except Unavailable as error:
            # What does not work tells nothing of the rest either.
            ground.broken[application] = str(error)
            del ground.tenants[application]
    for application, why in ground.broken.items():
        trial.hold("LIVE-2", False, f"{application} cannot be attacked: {why}")
    for tenant in ground.targets:
        answer = trial.ask(ground.host(tenant), "/who")
        trial.hold("LIVE-2", answer.by == tenant.uid, f"the built-in application is answered for: {answer.status}")


ALIVE = Part("applications", ("DATA-1", "LIVE-2"), 20.0, "each application answers as itself", _alive)


def _settled(trial: Trial, address: Address) -> Answer:
    """Ask until an application that is slow to build is there; raise Unavailable with the reason where it is not."""
    end = monotonic() + trial.patience.left(_BUILT)
    while True:
        answer = trial.ask(address)
        if answer.status < 500:
            return answer
        trouble = trial.ground.operations.show(address.tenant.name).trouble
        if trouble or answer.status != 503 or monotonic() > end:
            raise Unavailable(trouble or f"it answers {answer.status}.")
        threading.Event().wait(_PAUSE)


def _crashes(trial: Trial) -> None:
    ground = trial.ground
    broken = ground.add("target-broken", ground.targets[0].application, BREAKS=True)
    crashing, neighbour = ground.host(ground.targets[0]), ground.host(ground.targets[1])
    for _ in range(10):
        for path in ("/raise", "/exit"):
            answer = trial.ask(crashing, path)
            trial.hold("LIVE-2", answer.status == 500, f"{path} is answered {answer.status}")
            trial.hold("DATA-2", crashing.tenant.canary.encode() not in answer.whole(), f"{path} tells what was wrong")
        answer = trial.ask(ground.host(broken))
        trial.hold("LIVE-2", answer.status == 503, f"a factory that raises is answered {answer.status}")
        trial.hold(
            "DATA-2", broken.canary.encode() not in answer.whole(), "a broken factory's page tells what was wrong"
        )
        for address in (neighbour, crashing):
            answer = trial.ask(address, "/who")
            trial.hold(
                "LIVE-2", answer.by == address.tenant.uid, f"{address.tenant.name} is answered {answer.status} after it"
            )


CRASHES = Part(
    "crashes", ("LIVE-2", "DATA-2"), 8.0, "what breaks costs its own requests, and tells nobody why", _crashes
)


def _changes(trial: Trial) -> None:
    ground = trial.ground
    operations, neighbour = ground.operations, ground.targets[1]
    tenant = ground.add("target-changing", ground.targets[0].application)
    probe = Probe(trial.caller(), ground.host(neighbour))
    probe.start()
    try:
        _await(trial, tenant, 200, "added")
        operations.suspend(tenant.name, "attacked")
        _await(trial, tenant, 403, "suspended")
        operations.resume(tenant.name)
        _await(trial, tenant, 200, "resumed")
        operations.rename(tenant.name, "target-renamed")
        _await(trial, tenant, 308, "renamed")
        operations.remove("target-renamed")
        _await(trial, tenant, 404, "removed")
    finally:
        probe.end()
    probe.judge(trial, "LIVE-3", "a neighbour", _SLOW)


CHANGES = Part(
    "changes", ("LIVE-3",), 20.0, "what is done to one tenant is seen at once, and changes nobody else", _changes
)


def _await(trial: Trial, tenant: Tenant, status: int, what: str) -> None:
    """Ask until every process has followed a change, or for too long."""
    address = trial.ground.host(tenant)
    end = monotonic() + trial.patience.left(_FOLLOWED)
    while (found := trial.ask(address, "/who").status) != status and monotonic() < end:
        threading.Event().wait(_PAUSE)
    trial.hold("LIVE-3", found == status, f"a tenant that was {what} is answered {found}")


def _shares(trial: Trial) -> None:
    ground = trial.ground
    bounded = ground.add("target-rated", ground.targets[0].application, TENANT_RATE=f"{_RATE}/minute")
    address, neighbour = ground.host(bounded), ground.host(ground.targets[1])
    found: Counter[int] = Counter()
    for _ in range(4 * _RATE):
        found[trial.ask(address, "/who").status] += 1
        answer = trial.ask(neighbour, "/who")
        trial.hold("LIVE-5", answer.status == 200, f"a neighbour is answered {answer.status}")
    trial.hold(
        "LIVE-5", found[429] >= 2 * _RATE, f"{4 * _RATE} requests at {_RATE} a minute are answered {dict(found)}"
    )
    trial.hold("LIVE-5", found[200] >= 1, f"nothing of a share of {_RATE} a minute was granted: {dict(found)}")


SHARES = Part("shares", ("LIVE-5",), 8.0, "who has used up its share gets 429, and nobody else", _shares)
