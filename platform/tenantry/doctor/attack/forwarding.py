"""What a client says about itself in the names of proxies: it decides nothing, and no application hears it."""

import json
from itertools import combinations

from tenantry.doctor.attack.calling import Caller, Header, Request
from tenantry.doctor.attack.trial import Trial
from tenantry.doctor.attack.verdicts import Part

_STRANGER = "203.0.113.99"


def _attempt(trial: Trial) -> None:
    ground = trial.ground
    one, other = ground.targets[:2]
    lies = _lies(ground.host(other).host, f"/t/{other.name}")
    if not ground.known.proxies:
        lies += [("X-Forwarded-For", _STRANGER), ("X-Forwarded-Proto", "https")]
    # Without the proxies' own headers: what follows is what came in before them.
    bare = Caller(trial.server.port, trial.patience)
    for address in ground.addresses(one):
        own = ground.forwarded()
        wanted = json.loads(bare.ask(address.request("/who", headers=own)).body)
        for number in (1, 2, len(lies)):
            for said in combinations(lies, number):
                _see(trial, bare, address.request("/who", headers=[*said, *own]), wanted)
    for proxied in _as_the_proxy(trial):
        answer = bare.ask(Request(ground.host(one).host, "/who", headers=proxied))
        told = json.loads(answer.body) if answer.status == 200 else {"client": answer.status}
        trial.hold("HOST-3", told["client"] == _STRANGER, f"{proxied[0][1]!r} is seen as {told['client']}")


PART = Part(
    "forwarding", ("HOST-3",), 10.0, "what clients say of themselves decides nothing and goes no further", _attempt
)


def _lies(host: str, mount: str) -> list[Header]:
    """Spell it all but for the two that declared proxies overwrite."""
    return [
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Server", host),
        ("X-Forwarded-Port", "444"),
        ("X-Forwarded-Prefix", mount),
        ("X-Forwarded-By", "evil"),
        ("X-Forwarded-Path", f"{mount}/who"),
        ("X-Forwarded-Scheme", "javascript"),
        ("Forwarded", f"for={_STRANGER};host={host};proto=javascript"),
        ("X-Original-URL", f"{mount}/who"),
        ("X-Rewrite-URL", f"{mount}/who"),
        ("X-Original-Host", host),
        ("X-Host", host),
        ("X-HTTP-Host-Override", host),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Script-Name", mount),
        ("X-Real-IP", _STRANGER),
    ]


def _see(trial: Trial, caller: Caller, request: Request, wanted: dict[str, object]) -> None:
    answer = caller.ask(request)
    said = ", ".join(name for name, _ in request.headers if not name.startswith("X-Forwarded-Proto"))
    found = json.loads(answer.body) if answer.status == 200 else {"status": answer.status}
    trial.hold("HOST-3", found == {**wanted, "forwarded": []}, f"with {said}: {_different(found, wanted)}")


def _different(found: dict[str, object], wanted: dict[str, object]) -> str:
    both = {**wanted, "forwarded": []}
    return (
        ", ".join(f"{key} is {value!r}" for key, value in found.items() if both.get(key) != value) or "nothing is seen"
    )


def _as_the_proxy(trial: Trial) -> list[list[Header]]:
    """Spell what the declared proxies make of a client that has lied about its address before them."""
    known = trial.ground.known
    if not known.proxies:
        return []
    hops = ", ".join([_STRANGER, *["127.0.0.1"] * (known.proxies - 1)])
    scheme = ("X-Forwarded-Proto", ", ".join([known.scheme] * known.proxies))
    return [[("X-Forwarded-For", f"{lie}{hops}"), scheme] for lie in ("", "127.0.0.1, ", "evil, ", "a, b, c, ")]
