"""The custom domains of a tenant: one of them is the primary one, to which the others lead.

A domain is claimed first: it is no address and leads nowhere. Once the DNS has the token of the claim it is proved, and
becomes an address in one transaction with its line of the journal. Several tenants may claim one domain, and the first
to prove it has it. An operator who knows whose it is gives it on trust, at once.
"""

from collections.abc import Sequence
from dataclasses import replace

from tenantry import address
from tenantry.address import Address, Kind
from tenantry.errors import Invalid, Refused, Unknown
from tenantry.operations import proving, standing
from tenantry.operations.facts import About, Checked, Checks, Claimed, Desk, Domain, Domains, Finding
from tenantry.operations.proving import Looking
from tenantry.registry import By, Claim
from tenantry.tenant import Tenant

_OWN = "A tenant has its subdomain by its name; a custom domain is one of the tenant's own."


def own(desk: Desk, text: str) -> str:
    """Return the canonical form of a custom domain, or raise Invalid for one that cannot be a tenant's own."""
    domain = address.domain(text)
    if address.is_below(domain, desk.settings.domain):
        raise Invalid(f"{domain} lies below the platform's own domain, {desk.settings.domain}.", hint=_OWN)
    return domain


def add(desk: Desk, tenant: Tenant, text: str, primary: bool, trust: bool = False) -> Domains:
    """Claim a custom domain for a tenant, or give it on `trust`; the first one always is the primary one.

    One that it has already is made the primary one, if it is to be: that needs no proof.
    """
    domain = own(desk, text)
    there = _domains(desk, tenant)
    if domain in there and (tenant.domain == domain or not primary):
        return _unchanged(desk, tenant)
    if domain in there or trust:
        return _give(desk, tenant, domain, primary or not there)
    return _claim(desk, tenant, domain, primary)


def _give(desk: Desk, tenant: Tenant, domain: str, primary: bool) -> Domains:
    there, claims = _domains(desk, tenant), desk.registry.claims(tenant.uid)
    trusted = {} if domain in there else {"trust": True}
    by = standing.by(desk, tenant, "domain add", {"domain": domain, "primary": primary, **trusted})
    tenant = desk.registry.add_domain(tenant.uid, domain, primary, by)
    return Domains(
        tenant,
        True,
        _told(desk, sorted({*there, domain}), tenant.domain),
        claimed(desk, tenant, [claim for claim in claims if claim.domain != domain]),
    )


def _claim(desk: Desk, tenant: Tenant, domain: str, primary: bool) -> Domains:
    """Claim a domain; who claims it once more has the same token, and says only whether it is to be the primary one."""
    claims = {claim.domain: claim for claim in desk.registry.claims(tenant.uid)}
    if domain in claims and (claims[domain].primary or not primary):
        return _unchanged(desk, tenant)
    claim = replace(claims[domain], primary=True) if domain in claims else proving.new_claim(domain, primary)
    by = standing.by(desk, tenant, "domain add", {"domain": domain, "primary": primary, "claim": True})
    tenant = desk.registry.claim(tenant.uid, claim, by)
    some = sorted({**claims, domain: claim}.values(), key=lambda one: one.domain)
    return Domains(tenant, True, _told(desk, _domains(desk, tenant), tenant.domain), claimed(desk, tenant, some))


def check(desk: Desk, tenant: Tenant, text: str = "") -> Checks:
    """Look at a tenant's domains in the DNS, or at one of them, and make addresses of the claims that it proves."""
    known = sorted({*_domains(desk, tenant), *(claim.domain for claim in desk.registry.claims(tenant.uid))})
    wanted = [address.domain(text)] if text else known
    for domain in wanted:
        if domain not in known:
            raise _unknown(tenant, domain, known)
    looking, found = Looking(desk), []
    for domain in wanted:
        one, tenant = _look(desk, looking, tenant, domain)
        found.append(one)
    return Checks(tenant, any(one.changed for one in found), tuple(found))


def _look(desk: Desk, looking: Looking, tenant: Tenant, domain: str) -> tuple[Checked, Tenant]:
    claims = {claim.domain: claim for claim in desk.registry.claims(tenant.uid)}
    if domain in claims:
        finding, proved = _prove(desk, looking, tenant, claims[domain])
    else:
        finding, proved = Finding(About.OWNERSHIP, True, f"{tenant.name} has it already."), None
    told = [*proving.leads_here(desk, looking, tenant, domain), proving.certificates(looking, domain)]
    checked = Checked(domain, bool(finding.good), proved is not None, (finding, *told))
    return checked, proved or tenant


def _prove(desk: Desk, looking: Looking, tenant: Tenant, claim: Claim) -> tuple[Finding, Tenant | None]:
    """Make an address of a claim that the DNS proves, and return what there is to say, and the tenant as it is then.

    Nothing is locked while others are asked. That the claim still stands, and is nobody's address, is seen in the
    transaction itself: whoever changed the tenant meanwhile has changed something else.
    """
    finding = proving.ownership(looking, claim)
    if not finding.good:
        return finding, None
    by = By(desk.who, "domain check", {"domain": claim.domain, "primary": claim.primary})
    try:
        return finding, desk.registry.prove(tenant.uid, claim, by)
    except Refused as error:
        if claim.domain in _domains(desk, tenant):  # another check was faster
            return finding, None
        return Finding(About.OWNERSHIP, False, error.says, error.hint), None


def remove(desk: Desk, tenant: Tenant, text: str) -> Domains:
    """Take a custom domain, or a claim to it, from a tenant; the first that is left follows a primary one."""
    domain = address.domain(text)
    there, claims = _domains(desk, tenant), desk.registry.claims(tenant.uid)
    known = [*there, *(claim.domain for claim in claims)]
    if domain not in known:
        raise _unknown(tenant, domain, known)
    by = standing.by(desk, tenant, "domain remove", {"domain": domain})
    tenant = desk.registry.drop_domain(tenant.uid, domain, by)
    return Domains(
        tenant,
        True,
        _told(desk, [some for some in there if some != domain], tenant.domain),
        claimed(desk, tenant, [claim for claim in claims if claim.domain != domain]),
    )


def all_of(desk: Desk, tenant: Tenant) -> Domains:
    """List a tenant's custom domains, and those that it claims."""
    return _unchanged(desk, tenant)


def claimed(desk: Desk, tenant: Tenant, claims: Sequence[Claim]) -> tuple[Claimed, ...]:
    """Tell of claims what is to be set in the DNS; a rehearsal, which keeps no token, tells none."""
    target = f"{tenant.name}.{desk.settings.domain}"
    kept = {claim.token for claim in desk.registry.claims(tenant.uid)} if desk.dry_run else None
    return tuple(
        Claimed(
            claim.domain,
            claim.primary,
            proving.record(claim.domain),
            proving.value(claim) if kept is None or claim.token in kept else "",
            target,
        )
        for claim in claims
    )


def _unchanged(desk: Desk, tenant: Tenant) -> Domains:
    told = _told(desk, _domains(desk, tenant), tenant.domain)
    return Domains(tenant, False, told, claimed(desk, tenant, desk.registry.claims(tenant.uid)))


def _unknown(tenant: Tenant, domain: str, known: Sequence[str]) -> Unknown:
    hint = f"It has {', '.join(known)}." if known else "It has none."
    return Unknown(f"{tenant.name} has no domain {domain}.", hint=hint)


def _domains(desk: Desk, tenant: Tenant) -> list[str]:
    return [where.value for where in desk.registry.addresses(tenant.uid) if where.kind is Kind.DOMAIN]


def _told(desk: Desk, domains: Sequence[str], primary: str) -> tuple[Domain, ...]:
    url = desk.settings.url
    return tuple(Domain(domain, domain == primary, url(Address(Kind.DOMAIN, domain))) for domain in domains)
