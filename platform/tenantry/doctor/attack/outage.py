"""The registry is away: whoever was served goes on, and nobody is told that he does not exist."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from tenantry.doctor.attack.calling import Request
from tenantry.doctor.attack.trial import Trial
from tenantry.doctor.attack.verdicts import Part

_ROUNDS = 10
_BACK = 5.0
_PAUSE = 0.05


def _attempt(trial: Trial) -> None:
    ground = trial.ground
    known = [ground.host(tenant) for tenant in ground.targets[:3]]
    unseen = ground.host(ground.add("target-unseen", ground.targets[0].application))
    for address in known:
        trial.ask(address, "/who")
    with _away(ground.instance.registry):
        for _ in range(_ROUNDS):
            for address in known:
                answer = trial.ask(address, "/who")
                trial.hold("LIVE-4", answer.by == address.tenant.uid, f"a known tenant is answered {answer.status}")
            for request in (unseen.request("/who"), Request(f"nobody-here.{ground.known.domain}")):
                answer = trial.send(request)
                trial.hold("LIVE-4", answer.status == 503, f"one who is not known is answered {answer.status}")
    end = monotonic() + trial.patience.left(_BACK)
    while (answer := trial.ask(unseen, "/who")).status == 503 and monotonic() < end:
        threading.Event().wait(_PAUSE)
    trial.hold("LIVE-4", answer.by == unseen.tenant.uid, f"when it is back, it is still answered {answer.status}")


PART = Part("outage", ("LIVE-4",), 12.0, "without a registry the known go on, others are asked to come again", _attempt)


@contextmanager
def _away(registry: Path) -> Iterator[None]:
    """Take a registry's file away for the time of a `with`."""
    elsewhere = registry.with_name(f"{registry.name}.away")
    registry.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(registry)
