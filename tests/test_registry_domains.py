"""All custom domains page by page, whatever rows there are; and claims, as the book keeps them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tenantry.address import Address, Kind
from tenantry.errors import Refused, Unknown
from tenantry.registry import By, Claim, Place, Registry
from tenantry.tenant import Notice, Status
from tests import registries
from tests.registries import add, domain, intend, spoil, subdomain

path, registry = registries.path, registries.registry

BY = By("ada", "domain add")
TOKEN = "0123456789abcdef" * 2


def claim(name: str, token: str = TOKEN, primary: bool = False) -> Claim:
    return Claim(name, token, primary)


def kept(registry: Registry, uid: str) -> Claim:
    (one,) = registry.claims(uid)
    return one


def test_the_domains_of_all_who_stand_come_by_the_alphabet_page_by_page(registry: Registry) -> None:
    for number in range(7):
        add(registry, f"tenant-{number}", subdomain(f"tenant-{number}"), domain(f"d{6 - number}.example.org"))
    first = registry.domains(limit=3)
    assert (first.domains, first.after) == (tuple(f"d{n}.example.org" for n in range(3)), "d2.example.org")
    assert registry.domains("d2.example.org", 3).domains == tuple(f"d{n}.example.org" for n in range(3, 6))
    assert registry.domains("d5.example.org", 3) == registry.domains("d5.example.org")
    assert [page.domains for page in registry.domain_pages()] == [tuple(f"d{n}.example.org" for n in range(7))]


def test_who_stands_has_domains_whether_visitors_are_let_in_or_not(registry: Registry) -> None:
    found = {name: add(registry, name, subdomain(name), domain(f"{name}.org")) for name in ("acme", "bob", "cy", "dan")}
    intend(registry, "eve", subdomain("eve"), domain("eve.org"))
    registry.set_status(found["bob"].uid, Status.SUSPENDED, "unpaid", BY)
    registry.maintain(found["cy"].uid, Notice(), BY)
    registry.remove(found["dan"].uid, BY)
    registry.claim(found["acme"].uid, claim("claimed.org"), BY)
    page = registry.domains()
    assert (page.domains, page.unreadable) == (("acme.org", "bob.org", "cy.org"), ())


POISON = {
    "no domain": (
        "UPDATE addresses SET key = 'domain:x.org;}' || char(10) WHERE key = 'domain:bob.org'",
        "is no domain",
    ),
    "a variable": ("UPDATE addresses SET key = 'domain:$host.org' WHERE key = 'domain:bob.org'", "is no domain"),
    "not canonical": ("UPDATE addresses SET key = 'domain:BOB.org' WHERE key = 'domain:bob.org'", "is no domain"),
    "not ASCII": ("UPDATE addresses SET key = 'domain:b\u00fc.org' WHERE key = 'domain:bob.org'", "is no domain"),
    "a false A-label": ("UPDATE addresses SET key = 'domain:xn--a.org' WHERE key = 'domain:bob.org'", "is no domain"),
    "nobody's": ("UPDATE addresses SET uid = 'zzzzzzzzzzzz' WHERE key = 'domain:bob.org'", "is nobody's"),
    "a status that is none": ("UPDATE tenants SET status = 'odd' WHERE name = 'bob'", "the status 'odd' is none"),
    "a name that is none": ("UPDATE tenants SET name = 'B;b' WHERE name = 'bob'", "the name 'B;b' is none"),
    "of one who is removed": ("UPDATE tenants SET status = 'removed' WHERE name = 'bob'", "tenant bob is removed"),
    "empty": ("UPDATE addresses SET key = 'domain:' WHERE key = 'domain:bob.org'", None),
    "not a text": ("UPDATE addresses SET key = x'646f6d61696e3a00' WHERE key = 'domain:bob.org'", None),
    "not UTF-8": (
        "UPDATE addresses SET key = CAST(x'646f6d61696e3aff' AS TEXT) WHERE key = 'domain:bob.org'",
        "no domain",
    ),
}


@pytest.mark.parametrize(("statement", "says"), POISON.values(), ids=POISON)
def test_a_row_that_makes_no_sense_is_told_and_hurts_no_other(
    registry: Registry, path: Path, statement: str, says: str | None
) -> None:
    for name in ("acme", "bob", "cy"):
        add(registry, name, subdomain(name), domain(f"{name}.org"))
    spoil(path, statement)
    for limit in (1, 1000):
        domains, unreadable = _gone_through(registry, limit)
        assert domains == ["acme.org", "cy.org"]
        assert [says in line for line in unreadable if says] == [True] * bool(says)
        assert all(line.isascii() and line.isprintable() for line in unreadable)


def _gone_through(registry: Registry, limit: int) -> tuple[list[str], list[str]]:
    domains: list[str] = []
    unreadable: list[str] = []
    after: str | None = ""
    while after is not None:
        page = registry.domains(after, limit)
        domains += page.domains
        unreadable += page.unreadable
        after = page.after
    return domains, unreadable


def test_rows_that_are_no_text_at_all_do_not_lead_back_to_where_the_page_began(registry: Registry, path: Path) -> None:
    """In the order of bytes such a row comes after what it is shown as."""
    for name in ("a1", "b1", "c1", "d1"):
        add(registry, name, subdomain(name), domain(f"{name}.org"))
    for name, raw in (("b1", "62ff"), ("c1", "62ffff")):
        spoil(path, f"UPDATE addresses SET key = CAST(x'646f6d61696e3a{raw}' AS TEXT) WHERE key = 'domain:{name}.org'")
    found, after = [], ""
    for _ in range(4):
        page = registry.domains(after, 1)
        found.append((page.domains, len(page.unreadable)))
        after = page.after or ""
    assert (found, after) == ([(("a1.org",), 0), ((), 1), ((), 1), (("d1.org",), 0)], "")


def test_a_claim_is_kept_and_is_no_address(registry: Registry) -> None:
    acme = add(registry, "acme")
    after = registry.claim(acme.uid, claim("b.org", primary=True), BY)
    registry.claim(acme.uid, claim("a.org", "f" * 32), BY)
    assert [(one.domain, one.token, one.primary) for one in registry.claims(acme.uid)] == [
        ("a.org", "f" * 32, False),
        ("b.org", TOKEN, True),
    ]
    assert after.revision > acme.revision
    with pytest.raises(Unknown):
        registry.find(domain("b.org"))
    assert [where.kind for where in registry.addresses(acme.uid)] == [Kind.SUBDOMAIN]


def test_a_claim_that_was_proved_is_an_address_and_a_claim_no_more(registry: Registry) -> None:
    acme = add(registry, "acme")
    registry.claim(acme.uid, claim("acme.org"), BY)
    proved = registry.prove(acme.uid, kept(registry, acme.uid), BY)
    assert (proved.domain, registry.find(domain("acme.org")), registry.claims(acme.uid)) == ("acme.org", proved, [])


def test_what_is_claimed_with_another_token_by_now_is_not_proved(registry: Registry) -> None:
    acme = add(registry, "acme")
    registry.claim(acme.uid, claim("acme.org"), BY)
    old = kept(registry, acme.uid)
    registry.claim(acme.uid, claim("acme.org", "f" * 32), BY)
    before = registry.revision()
    with pytest.raises(Refused, match="changed by somebody else"):
        registry.prove(acme.uid, old, BY)
    assert (registry.revision(), kept(registry, acme.uid).token) == (before, "f" * 32)


def test_of_two_who_prove_one_domain_the_second_is_refused_and_keeps_its_claim(registry: Registry) -> None:
    acme, globex = add(registry, "acme"), add(registry, "globex")
    for tenant in (acme, globex):
        registry.claim(tenant.uid, claim("shop.org"), BY)
    registry.prove(globex.uid, kept(registry, globex.uid), BY)
    with pytest.raises(Refused, match="taken by 'globex'"):
        registry.prove(acme.uid, kept(registry, acme.uid), BY)
    assert kept(registry, acme.uid).domain == "shop.org"
    with pytest.raises(Refused, match="taken by 'globex'"):
        registry.claim(add(registry, "hooli").uid, claim("shop.org"), BY)


def test_claims_follow_their_tenant_to_the_trash_and_back_and_vanish_with_it(registry: Registry) -> None:
    acme = add(registry, "acme")
    registry.claim(acme.uid, claim("acme.org"), BY)
    registry.rename(acme.uid, "apex", timedelta(), BY)
    registry.remove(acme.uid, BY)
    for refused in (registry.claim, registry.prove):
        with pytest.raises(Refused, match="removed"):
            refused(acme.uid, kept(registry, acme.uid), BY)
    registry.bring_back(acme.uid, [_place("apex")], BY)
    assert kept(registry, acme.uid).domain == "acme.org"
    registry.remove(acme.uid, BY)
    registry.purge(acme.uid, BY)
    registry.erase(acme.uid)
    assert registry.claims(acme.uid) == []


def test_an_add_that_is_given_up_leaves_no_claim(path: Path) -> None:
    then = datetime(2026, 11, 21, tzinfo=UTC)
    with Registry.open(path, clock=lambda: then) as registry:
        tenant = intend(registry, "acme")
        registry.abandon(tenant.uid)
        again = registry.intend(tenant, [subdomain("acme")], claims=[claim("acme.org")])
        assert kept(registry, again.uid).at == "2026-11-21T00:00:00Z"
        registry.abandon(again.uid)
        assert registry.claims(again.uid) == []


def _place(name: str) -> Place:
    return Place(Address(Kind.SUBDOMAIN, name))


@pytest.mark.parametrize("spoiled", ["x\r\ny.org", "a" * 300 + ".org", "UP.org"])
def test_a_domain_that_is_none_is_shown_and_led_to_by_nobody(registry: Registry, path: Path, spoiled: str) -> None:
    """Neither among a tenant's addresses nor as its primary domain; the tenant itself is there."""
    acme = add(registry, "acme", subdomain("acme"), domain("acme.org"))
    spoil(path, f"UPDATE addresses SET key = 'domain:{spoiled}' WHERE key = 'domain:acme.org'")
    spoil(path, f"UPDATE tenants SET domain = '{spoiled}'")
    assert registry.addresses(acme.uid) == [subdomain("acme")]
    assert registry.find(subdomain("acme")).domain == ""
