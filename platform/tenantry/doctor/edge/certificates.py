"""What is proven to visitors: certificates that cover every name and last, and versions of TLS that are still good."""

import ssl
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from tenantry.doctor.attack.calling import LOST, OutOfTime, within
from tenantry.doctor.checks import Check, Fault, verdict
from tenantry.doctor.edge import passing
from tenantry.doctor.edge.asking import Asker, Astray, unchecked
from tenantry.doctor.edge.lines import nginx

_FEW, _SOME = 7, 21
_DAY = 86400.0
_AT_ONCE = 8
# Seconds after which a custom domain does not answer at all.
_LONG = 6.0
_TOLD = 5
_OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
_GOOD = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
_MISMATCH = 62


@dataclass(frozen=True, slots=True)
class Covered:
    """What one name was shown: the days for which its certificate is good, or what is wrong."""

    name: str
    days: float = 0.0
    fault: Fault | None = None


def certificate(asker: Asker) -> Iterator[Check]:
    """See that the base domain and whatever is below it are covered by a certificate that lasts."""
    domain = asker.way.domain
    yield from _told("certificate", [_base(asker, domain, domain), _base(asker, asker.somebody, f"*.{domain}")])


def domains(asker: Asker) -> Iterator[Check]:
    """See that each custom domain has a certificate that lasts, and leads to the server."""
    usual = passing.arrived(asker, asker.way.domain) if asker.domains else {}
    with ThreadPoolExecutor(_AT_ONCE, "custom-domain") as threads:
        found = list(threads.map(lambda name: _custom(asker, name, usual), asker.domains))
    tried = [one for one in found if one is not None]
    left = asker.count - len(tried)
    checks = list(_told("domains", tried)) if tried else []
    if left:
        hint = "`curl https://DOMAIN/` asks for any of them."
        checks.append(Check("domains", True, f"{left} of {asker.count} custom domains were not asked for", hint))
    yield from checks


def versions(asker: Asker) -> Iterator[Check]:
    """See that TLS 1.2 or 1.3 is spoken, and nothing older."""
    spoken = [version for version in (*_OLD, *_GOOD) if _speaks(asker, version)]
    line = nginx(asker.lines.line("ssl_protocols"))
    faults = [Fault(f"{_name(version)} is spoken, which is broken.", line) for version in spoken if version in _OLD]
    if ssl.TLSVersion.TLSv1_3 not in spoken:
        faults.append(Fault("TLSv1.3 is not spoken.", line))
    good = " and ".join(_name(version) for version in spoken)
    yield from verdict("tls", faults, f"{good} and nothing older")


def _told(name: str, found: Sequence[Covered]) -> Iterator[Check]:
    """Tell what is wrong, or what ends soonest."""
    faults = [one.fault for one in found if one.fault is not None]
    if faults:
        more = [Fault(f"and {len(faults) - _TOLD} more", faults[0].hint)] if len(faults) > _TOLD else []
        yield from verdict(name, [*faults[:_TOLD], *more], "")
        return
    first = min(found, key=lambda one: one.days)
    says = f"{', '.join(one.name for one in found[:_TOLD])}{' and others' if len(found) > _TOLD else ''} covered, "
    hint = "Is it renewed by itself? `systemctl list-timers` tells." if first.days < _SOME else ""
    yield Check(name, True, f"{says}that of {first.name} for {int(first.days)} more days", hint)


def _base(asker: Asker, host: str, name: str) -> Covered:
    line = nginx(asker.lines.line("ssl_certificate "), asker.lines.line("ssl_certificate_key "))
    return _covered(asker, host, Covered(name), line)


def _custom(asker: Asker, name: str, usual: Mapping[str, str]) -> Covered | None:
    """See one custom domain, as its visitor would; None where there is no time left.

    That is done on a thread that can be left behind: the one of a pool would keep the whole command from ending.
    """
    with suppress(OutOfTime):
        seconds = asker.patience.left(_LONG)
        try:
            return within(seconds, partial(_visited, asker, name, usual))
        except OutOfTime:
            if seconds == _LONG:  # else it was the others that took the time
                return Covered(
                    name, fault=Fault(f"{name} does not answer in time.", "nginx's log says what it waits for.")
                )
    return None


def _visited(asker: Asker, name: str, usual: Mapping[str, str]) -> Covered:
    """See the certificate of a custom domain, and that its requests arrive as those of the base domain do."""
    place = asker.known.edge_certificate.format(name=name)
    line = f"There must be a certificate in {place}, or {nginx(*_of(asker, name))}"
    found = _covered(asker, name, Covered(name), line)
    if found.fault is not None:
        return found
    try:
        came = passing.arrived(asker, name)
    except Astray as astray:
        return Covered(name, fault=astray.fault)
    for header in sorted({*came, *usual}):
        if came.get(header) != usual.get(header):
            says = f"{header.title()} of {name} arrives as {came.get(header)!r}, otherwise than at {asker.way.domain}."
            return Covered(name, fault=Fault(says, nginx(passing.sets(asker, header))))
    return found


def _of(asker: Asker, name: str) -> list[str]:
    """Quote where a custom domain has its certificate from: a line of its own, or one for all."""
    lines = asker.lines.all("ssl_certificate ")
    own = [line for line in lines if name in line or "$ssl_server_name" in line]
    return own or lines[:1]


def _covered(asker: Asker, host: str, about: Covered, line: str) -> Covered:
    """Shake hands as a browser does."""
    name = about.name
    try:
        with asker.secured(host, asker.trust) as sock:
            shown = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
    except ssl.SSLCertVerificationError as error:
        says = f"The certificate that {name} is shown is not good: {error.verify_message}."
        if error.verify_code == _MISMATCH:
            says = f"The certificate that {name} is shown does not cover it: {error.verify_message}"
        return Covered(name, fault=Fault(says, line))
    except LOST as error:
        return Covered(name, fault=Fault(f"No TLS is spoken with {name}: {_why(error)}.", line))
    days = (ssl.cert_time_to_seconds(str((shown or {}).get("notAfter"))) - time.time()) / _DAY
    if days < _FEW:
        says = f"The certificate of {name} ends in {int(days)} day{'' if int(days) == 1 else 's'}."
        return Covered(name, fault=Fault(says, f"Renew it, see that it is renewed by itself, and reload nginx. {line}"))
    return Covered(name, days)


def _why(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)


def _speaks(asker: Asker, version: ssl.TLSVersion) -> bool:
    """Tell whether a version is spoken; all ciphers are good enough for that, the old ones too."""
    context = unchecked()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that they are old is what this is about
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = version
        context.minimum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        with asker.secured(asker.way.domain, context):
            return True
    except TimeoutError:
        raise
    except LOST:
        return False


def _name(version: ssl.TLSVersion) -> str:
    return version.name.replace("_", ".")
