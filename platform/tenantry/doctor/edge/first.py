"""The first request: whether there is an edge at all, what its certificate is, and whose server is behind it."""

import socket
import ssl
from collections.abc import Iterator
from functools import partial

from tenantry.__about__ import __version__
from tenantry.address import shown
from tenantry.doctor.attack.calling import LOST, OutOfTime, within
from tenantry.doctor.checks import Check, Fault, verdict
from tenantry.doctor.edge.asking import Asker, Astray, Seen, Unreached
from tenantry.doctor.edge.lines import nginx

_RUNNING = "Is nginx running? `systemctl status nginx` tells; --connect HOST:PORT asks another one."
# Seconds for the first requests; whoever does not answer these is asked no other.
_FIRST = 9.0
# What OpenSSL says of a certificate that nobody known has signed.
_SIGNED_BY_NOBODY = {18, 19, 20, 21}


def reached(asker: Asker) -> Seen:
    """Send the first requests; Unreached with one sentence where there is nobody to ask."""
    where = f"{asker.way.host}:{asker.way.gate}"
    try:
        return within(asker.patience.left(_FIRST), partial(_reached, asker, where))
    except OutOfTime as error:
        hint = "Does DNS answer, and is there a firewall? --connect HOST:PORT asks by address."
        raise Unreached(Fault(f"{where} is not found, or does not answer, in time.", hint)) from error


def _reached(asker: Asker, where: str) -> Seen:
    way = asker.way
    try:
        if way.scheme == "https":
            _known_authority(asker)
        seen = asker.seen()
        _below(asker)
        return seen
    except socket.gaierror as error:
        raise Unreached(
            Fault(
                f"There is no address of {way.host}: {error.strerror}.",
                "Set its A or AAAA record, or give --connect HOST:PORT.",
            )
        ) from error
    except ssl.SSLError as error:
        raise Unreached(_no_tls(asker, where, error)) from error
    except TimeoutError as error:
        raise Unreached(
            Fault(
                f"{where} does not answer in time.",
                f"Is there a firewall, and does the server behind nginx answer? {_RUNNING}",
            )
        ) from error
    except ConnectionRefusedError as error:
        raise Unreached(Fault(f"Nobody listens at {where}.", _RUNNING)) from error
    except LOST as error:
        why = getattr(error, "strerror", None) or shown(str(error))
        raise Unreached(Fault(f"{where} cannot be asked: {why}.", _RUNNING)) from error


def _known_authority(asker: Asker) -> None:
    """Raise Unreached where the certificate is by nobody who is known: then nobody knows who answers."""
    try:
        with asker.secured(asker.way.domain, asker.trust):
            pass
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _SIGNED_BY_NOBODY:
            raise Unreached(
                Fault(
                    f"The certificate of {asker.way.domain} is by no known authority: {error.verify_message}.",
                    f"--ca FILE names an authority of your own; else {nginx(asker.lines.line('ssl_certificate '))}",
                )
            ) from error


def _below(asker: Asker) -> None:
    """Raise Unreached where nobody below the base domain is answered: then there are no tenants."""
    names = [asker.lines.line("server_name"), asker.lines.line("ssl_certificate ")]
    try:
        asker.seen(asker.somebody)
    except LOST as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        says = f"{asker.way.domain} is answered, and hosts below it are not: {why}."
        raise Unreached(Fault(says, nginx(*names))) from error
    except Astray as astray:
        says = f"{asker.way.domain} is answered, and hosts below it are not. {astray.fault.says}"
        raise Unreached(Fault(says, nginx(*names))) from astray


def _no_tls(asker: Asker, where: str, error: ssl.SSLError) -> Fault:
    if error.reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}:
        return Fault(f"{where} speaks no TLS.", nginx(*asker.lines.all("listen ")))
    return Fault(
        f"{where} refuses to speak TLS with {asker.way.domain}: {error.reason or error}.",
        nginx(asker.lines.line("server_name"), *asker.lines.all("ssl_certificate ")),
    )


def dns(asker: Asker) -> Iterator[Check]:
    """See that what is below the base domain leads where the base domain does."""
    base, below = (_addresses(host, asker.way.gate) for host in (asker.way.domain, asker.somebody))
    star = f"*.{asker.way.domain}"
    faults = []
    if asker.way.domain.rpartition(".")[2] == "localhost":  # browsers know what is below it, and not all systems do
        below |= base
    if not below:
        hint = f"DNS: a record for {star} like that of {asker.way.domain}."
        faults.append(Fault(f"There is no address of {star}.", hint))
    elif not base & below:
        said = ", ".join(sorted(below))
        faults.append(Fault(f"{star} leads to {said}, and {asker.way.domain} does not.", f"DNS: the record of {star}."))
    yield from verdict("dns", faults, f"{asker.way.domain} and {star} lead to {', '.join(sorted(base))}")


def _addresses(host: str, port: int) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError:
        return set()


def server(asker: Asker, seen: Seen) -> Iterator[Check]:
    """See that the server behind the edge runs with the settings that are read here, and in this version."""
    faults = []
    if seen["tenantry"] != __version__:
        faults.append(Fault(f"The server is tenantry {seen['tenantry']}, and this is {__version__}.", "Restart it."))
    for name, value in sorted(dict(seen.said.get("settings", {})).items()):
        here = getattr(asker.known, name, value)
        if here != value:
            faults.append(
                Fault(
                    f"The server runs with TENANTRY_{name.upper()}={value}, and here it is {here}.",
                    "Restart it, or run this where its settings are read.",
                )
            )
    yield from verdict("server", faults, f"tenantry {seen['tenantry']} answers, with the settings that are read here")
