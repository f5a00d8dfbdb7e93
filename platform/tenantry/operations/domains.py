"""The custom domains of a tenant: one of them is the primary one, to which the others lead."""

from tenantry import address
from tenantry.address import Address, Kind
from tenantry.errors import Unknown
from tenantry.operations import standing
from tenantry.operations.adding import own_domain
from tenantry.operations.facts import Desk, Domain, Domains
from tenantry.tenant import Tenant


def add(desk: Desk, tenant: Tenant, text: str, primary: bool) -> Domains:
    """Give a tenant a custom domain, or make one that it has the primary one; the first one always is."""
    domain = own_domain(desk, text)
    there = _domains(desk, tenant)
    if domain in there and (tenant.domain == domain or not primary):
        return Domains(tenant, False, _told(desk, there, tenant.domain))
    by = standing.by(desk, tenant, "domain add", {"domain": domain, "primary": primary or not there})
    tenant = desk.registry.add_domain(tenant.uid, domain, primary, by)
    return Domains(tenant, True, _told(desk, sorted({*there, domain}), tenant.domain))


def remove(desk: Desk, tenant: Tenant, text: str) -> Domains:
    """Take a custom domain from a tenant; if it was the primary one, the first that is left becomes it."""
    domain = address.domain(text)
    there = _domains(desk, tenant)
    if domain not in there:
        hint = f"It has {', '.join(there)}." if there else "It has none."
        raise Unknown(f"{tenant.name} has no domain {domain}.", hint=hint)
    by = standing.by(desk, tenant, "domain remove", {"domain": domain})
    tenant = desk.registry.drop_domain(tenant.uid, domain, by)
    return Domains(tenant, True, _told(desk, [some for some in there if some != domain], tenant.domain))


def all_of(desk: Desk, tenant: Tenant) -> tuple[Domain, ...]:
    """List a tenant's custom domains."""
    return _told(desk, _domains(desk, tenant), tenant.domain)


def _domains(desk: Desk, tenant: Tenant) -> list[str]:
    return [where.value for where in desk.registry.addresses(tenant.uid) if where.kind is Kind.DOMAIN]


def _told(desk: Desk, domains: list[str], primary: str) -> tuple[Domain, ...]:
    url = desk.settings.url
    return tuple(Domain(domain, domain == primary, url(Address(Kind.DOMAIN, domain))) for domain in domains)
