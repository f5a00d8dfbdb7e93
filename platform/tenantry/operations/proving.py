"""Looking at a domain in the DNS: whose it is, where it leads, and who may issue certificates for it, in plain words.

A tenant proves that a domain is its own by a TXT record that has the token of its claim. The record stands at a name of
its own below the domain, and there itself: what an alias leads to is not believed, since a wildcard of long ago that
leads to somebody else's zone would let that one prove what it likes.
"""

import secrets
from collections.abc import Iterator, Sequence

from tenantry import address
from tenantry.errors import Invalid
from tenantry.operations.facts import About, Desk, Finding
from tenantry.registry import Claim
from tenantry.resolver import Answer, Outcome
from tenantry.tenant import Tenant

_AUTHORITY = "letsencrypt.org"
# What a CAA record may say without forbidding anything to who does not know the word.
_WORDS = {"issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"}
_CRITICAL = 128
_AT_MOST = 5


class Looking:
    """The questions of one look: none is asked twice, and none more once nobody has answered."""

    def __init__(self, desk: Desk) -> None:
        self._ask = desk.resolver.ask
        self._kept: dict[tuple[str, str], Answer] = {}
        self._silence: Answer | None = None

    def ask(self, name: str, kind: str) -> Answer:
        """Ask for the records of a name; where nobody answered before, that is the answer at once."""
        if self._silence is not None:
            return self._silence
        asked = (name, kind)
        if asked not in self._kept:
            self._kept[asked] = self._ask(name, kind)
        if self._kept[asked].outcome is Outcome.SILENT:
            self._silence = self._kept[asked]
        return self._kept[asked]

    def addresses(self, name: str) -> tuple[Answer, frozenset[str]]:
        """Return where a name leads, by IPv4 and IPv6, and the answer that tells most of it."""
        both = [self.ask(name, kind) for kind in ("A", "AAAA")]
        found = frozenset(value for answer in both if answer.outcome is Outcome.FOUND for value in answer.values)
        order = (Outcome.FOUND, Outcome.SILENT, Outcome.FAILED, Outcome.NO_NAME, Outcome.NOTHING)
        return min(both, key=lambda answer: order.index(answer.outcome)), found


def record(domain: str) -> str:
    """Name the place of the TXT record that proves a domain; raise Invalid where there is no room for it."""
    name = f"_tenantry.{domain}"
    if len(name) > address.HOST_LENGTH:
        raise Invalid(
            f"{domain} is too long to be proved by a record below it.",
            hint="Give it with --trust, if you know whose it is.",
        )
    return name


def new_claim(domain: str, primary: bool) -> Claim:
    """Make a claim to a domain with a token of its own; raise Invalid where no record could prove it."""
    record(domain)
    return Claim(domain, secrets.token_hex(16), primary)


def value(claim: Claim) -> str:
    """Spell the TXT record that proves a claim."""
    return f"tenantry={claim.token}"


def ownership(looking: Looking, claim: Claim) -> Finding:
    """Tell whether the DNS proves a claim."""
    name, wanted = record(claim.domain), value(claim)
    answer = looking.ask(name, "TXT")
    if answer.outcome is Outcome.FOUND and answer.aliases:
        return _wrong(
            About.OWNERSHIP,
            f"{name} is an alias of {answer.aliases[0]}, and what stands there proves nothing.",
            f'Set the TXT record at {name} itself: "{wanted}". Where a wildcard made the alias, that ends it.',
        )
    if answer.outcome is Outcome.FOUND:
        # Forms that ask for a value keep the quotation marks that one has copied with it.
        if any(text.strip(' "') == wanted for text in answer.values):
            return Finding(About.OWNERSHIP, True, f"{name} has the token.")
        return _wrong(
            About.OWNERSHIP,
            f"The TXT record at {name} says {_some(sorted(answer.values))}, which is not the token.",
            f'It should say "{wanted}".{_remembered(answer)}',
        )
    if answer.outcome in {Outcome.NO_NAME, Outcome.NOTHING}:
        return _wrong(
            About.OWNERSHIP,
            f"There is no TXT record at {name}.{_misplaced(looking, claim)}",
            f'Set one: {name} TXT "{wanted}".{_remembered(answer)}',
        )
    return _unanswered(About.OWNERSHIP, name, answer)


def leads_here(desk: Desk, looking: Looking, tenant: Tenant, domain: str) -> Iterator[Finding]:
    """Tell whether a domain leads to where the base domain does, and what is odd about its way."""
    answer, found = looking.addresses(domain)
    target = f"{tenant.name}.{desk.settings.domain}"
    if not found:
        yield _nowhere(domain, target, answer)
        return
    base, own = (looking.addresses(name)[1] for name in (desk.settings.domain, target))
    way = f"{domain} leads to {_listed(found)}" + (f", as an alias of {answer.aliases[-1]}" if answer.aliases else "")
    strange = found - base - own
    if not base | own:
        says = f"{way}; the DNS does not say where {desk.settings.domain} is, so that they cannot be compared."
        yield Finding(About.WAY, None, says)
    elif not strange:
        yield Finding(About.WAY, True, f"{way}, which is here.")
    elif strange == found:
        yield _wrong(
            About.WAY,
            f"{way}, and {desk.settings.domain} is at {_listed(base | own)}.",
            f"Set a CNAME to {target}, or at the top of a zone A and AAAA of {_listed(base | own)}; "
            "behind a CDN it may be right as it is.",
        )
    else:
        yield _wrong(
            About.WAY,
            f"{domain} leads here, and to {_listed(strange)} as well, which is not here.",
            "Delete that record, or some of its visitors and the certificate authority end up there.",
        )
    yield from _wildcard(looking, domain, found)


def certificates(looking: Looking, domain: str) -> Finding:
    """Tell whether Let's Encrypt may issue a certificate for a domain: the nearest CAA records above it decide."""
    labels = domain.split(".")
    for first in range(len(labels)):
        name = ".".join(labels[first:])
        answer = looking.ask(name, "CAA")
        if answer.outcome is Outcome.FOUND:
            return _allowed(name, [text.split(" ", 2) for text in answer.values])
        if answer.outcome in {Outcome.FAILED, Outcome.SILENT}:
            return _unanswered(About.CERTIFICATES, name, answer)
    return Finding(About.CERTIFICATES, True, "No CAA record restricts who may issue certificates.")


def _allowed(name: str, records: Sequence[Sequence[str]]) -> Finding:
    says = [(int(flags), tag.lower(), text) for flags, tag, text in records]
    issuers = [text.partition(";")[0].strip().lower() for _, tag, text in says if tag == "issue"]
    unknown = [tag for flags, tag, _ in says if flags & _CRITICAL and tag not in _WORDS]
    if unknown:
        why = f"has the critical word {_some(unknown)}, for which authorities that do not know it refuse"
    elif issuers and _AUTHORITY not in issuers:
        named = [issuer for issuer in issuers if issuer]
        why = f"lets {_some(named)} issue certificates and nobody else" if named else "lets nobody issue certificates"
    else:
        return Finding(About.CERTIFICATES, True, f"The CAA records of {name} let Let's Encrypt issue certificates.")
    return _wrong(
        About.CERTIFICATES,
        f"The CAA record of {name} {why}.",
        f'If they are to come from Let\'s Encrypt: {name} CAA 0 issue "{_AUTHORITY}".',
    )


def _nowhere(domain: str, target: str, answer: Answer) -> Finding:
    """Say why a domain leads nowhere."""
    hint = f"Set a CNAME to {target}, or the A and AAAA records that it has."
    if answer.outcome in {Outcome.FAILED, Outcome.SILENT}:
        return _unanswered(About.WAY, domain, answer)
    if answer.aliases and answer.outcome is Outcome.NO_NAME:
        return _wrong(
            About.WAY,
            f"{domain} is an alias of {answer.aliases[-1]}, which does not exist.",
            f"{hint} Whoever got that name could answer for {domain}.",
        )
    if answer.aliases:
        return _wrong(About.WAY, f"{domain} is an alias of {answer.aliases[-1]}, which has no address.", hint)
    if answer.outcome is Outcome.NO_NAME:
        return _wrong(About.WAY, f"{domain} does not exist in the DNS.", f"{hint}{_remembered(answer)}")
    return _wrong(About.WAY, f"{domain} has neither an A nor an AAAA record.", f"{hint}{_remembered(answer)}")


def _unanswered(about: About, name: str, answer: Answer) -> Finding:
    if answer.outcome is Outcome.SILENT:
        return _wrong(
            about, f"Nobody answered for {name}: {answer.says}.", "Try again, or name others in TENANTRY_RESOLVER."
        )
    return _wrong(
        about,
        f"The DNS fails for {name}: {answer.says}.",
        "See that the servers of its zone answer, and that its DNSSEC is right.",
    )


def _misplaced(looking: Looking, claim: Claim) -> str:
    """Say where the token stands instead: at the domain itself, or below the zone's name once too often."""
    name, wanted = record(claim.domain), value(claim)
    parents = claim.domain.split(".")
    zones = [".".join(parents[first:]) for first in range(len(parents) - 1)]
    for elsewhere in (claim.domain, *(f"{name}.{zone}" for zone in zones)):
        if len(elsewhere) <= address.HOST_LENGTH and wanted in looking.ask(elsewhere, "TXT").values:
            return f" The token stands at {elsewhere} instead."
    return ""


def _wildcard(looking: Looking, domain: str, found: frozenset[str]) -> Iterator[Finding]:
    """Say that a domain has no record of its own, if a name that nobody has made leads to the same place."""
    parent = domain.partition(".")[2]
    if "." in parent and looking.addresses(f"tenantry-{secrets.token_hex(6)}.{parent}")[1] == found:
        yield Finding(
            About.WAY,
            None,
            f"{domain} seems to have no record of its own: the wildcard *.{parent} leads there, and so does every "
            "other name below it.",
            "Give it a record of its own, so that it stays when the wildcard goes.",
        )


def _remembered(answer: Answer) -> str:
    return f" What is changed now may take {answer.seconds} s to be seen." if answer.seconds > 1 else ""


def _some(texts: Sequence[str]) -> str:
    """Quote what strangers have written, some of it."""
    more = f" and {len(texts) - _AT_MOST} more" if len(texts) > _AT_MOST else ""
    return ", ".join(address.shown(text) for text in texts[:_AT_MOST]) + more


def _listed(addresses: frozenset[str]) -> str:
    some = sorted(addresses)
    more = [f"{len(some) - _AT_MOST} more"] if len(some) > _AT_MOST else []
    return " and ".join(some[:_AT_MOST] + more)


def _wrong(about: About, says: str, hint: str) -> Finding:
    return Finding(about, False, says, hint)
