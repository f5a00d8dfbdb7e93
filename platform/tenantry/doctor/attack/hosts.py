"""Who answers at a host: one tenant by every spelling that DNS calls equal, and nobody at all others."""

import secrets

from tenantry.doctor.attack.calling import Request
from tenantry.doctor.attack.scratch import Address
from tenantry.doctor.attack.trial import Trial
from tenantry.doctor.attack.verdicts import Part

_STRANGERS = 100
_NOT_HOSTS = frozenset({400})
_NOBODY = frozenset({400, 404})


def _attempt(trial: Trial) -> None:
    ground = trial.ground
    for tenant in ground.targets[:2]:
        address = ground.host(tenant)
        for host in _equal(address.host):
            answer = trial.send(Request(host, "/who"))
            trial.hold("HOST-1", answer.by == tenant.uid, f"{host!r} is not answered by {tenant.name}: {answer.status}")
        for host in _others(tenant.name, ground.known.domain):
            _nobody(trial, host, _NOBODY)
        for host in _malformed(address.host):
            _nobody(trial, host, _NOT_HOSTS)
    _applications(trial)
    _strangers(trial)


PART = Part("hosts", ("HOST-1", "HOST-2"), 10.0, "each host leads to its own tenant or to nobody", _attempt)


def _equal(host: str) -> list[str]:
    """Spell a host in the ways that are equal by DNS."""
    return [host, host.upper(), host.title(), f"{host}.", f"{host}:80", f"{host.upper()}.:65535", f"{host}:8000"]


def _others(name: str, domain: str) -> list[str]:
    """Spell hosts that look like a tenant's and are other ones."""
    return [
        *(f"{name}{domain}", f"evil{name}.{domain}", f"{name}.evil{domain}", f"{name}.{domain}.evil.example"),
        *(f"www.{name}.{domain}", f"{name}.{name}.{domain}", f"{domain}.{name}", f"{name}-.{domain}"),
        *(f"xn--{name}-9za.{domain}", f"{name}x.{domain}", f"unknown-{name}.{domain}"),
        *(
            domain,
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "localhost",
            "evil.example",
        ),
    ]


def _malformed(host: str) -> list[str]:
    """Spell what is no host at all, however close to one."""
    name, _, rest = host.partition(".")
    return [
        *("", ".", ":", ":80", f".{host}", f"{host}..", f"{name}..{rest}", f"-{host}", f"{name}_.{rest}", f"*.{rest}"),
        *(f"{host}:", f"{host}:0", f"{host}:65536", f"{host}:80:80", f"{host}:+80", f"{host}:080", f"{host}:80a"),
        *(
            f"{host}: 80",
            f"{host} :80",
            f"{name} .{rest}",
            f"{name}%2e{rest}",
            f"%74{host[1:]}",
            f"{host}/",
            f"{host}#",
        ),
        *(f"evil@{host}", f"{host}@evil", f"http://{host}", f"{host},evil", f"{host}, {host}", f"{host};a", f"{host}?"),
        *(f"{name}\\.{rest}", f"{name}\u00ad.{rest}", f"t\u00e4rget.{rest}", f"[{host}]", f"[::1]{host}", f"[{host}"),
        *(f"{'a' * 64}.{rest}", f"{'a.' * 127}{host}", f"\u00e2\u0084\u00aa.{rest}"),
    ]


def _nobody(trial: Trial, host: str, statuses: frozenset[int]) -> None:
    answer = trial.send(Request(host, "/who"))
    fine = not answer.by and answer.status in statuses
    trial.hold("HOST-1", fine, f"{host!r} is answered {answer.status} by {trial.whose(answer.by) or 'nobody'}")


def _applications(trial: Trial) -> None:
    """See that the operator's own applications show nobody else's canary at their hosts."""
    for tenants in trial.ground.tenants.values():
        for tenant in tenants:
            address = trial.ground.host(tenant)
            for host in _equal(address.host)[:4]:
                _own_alone(trial, address, host)


def _own_alone(trial: Trial, address: Address, host: str) -> None:
    whose = trial.foreign(trial.send(Request(host, "/")).whole(), address.tenant)
    trial.hold("HOST-1", not whose, f"{host!r} shows what is {whose}'s")


def _strangers(trial: Trial) -> None:
    """See that hosts that nobody has get 404, and leave nothing behind."""
    ground = trial.ground
    before = sorted(path.name for path in ground.instance.tenants.iterdir())
    for _ in range(_STRANGERS):
        host = f"s{secrets.token_hex(8)}.{ground.known.domain}"
        answer = trial.send(Request(host, "/who"))
        trial.hold("HOST-2", answer.status == 404, f"the unknown {host} is answered {answer.status}")
    after = sorted(path.name for path in ground.instance.tenants.iterdir())
    trial.hold("HOST-2", before == after, "unknown hosts have left folders behind")
