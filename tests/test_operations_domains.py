"""Custom domains that are given on trust: one of them is the primary one."""

from pathlib import Path

import pytest

from tenantry.assembly.desk import open_desk
from tenantry.errors import Invalid, Refused, Unknown
from tenantry.operations import Domains, NewTenant, Operations, domains
from tenantry.settings import read
from tests import shops
from tests.shops import NOTES, verbs

operations, root, shop = shops.operations, shops.root, shops.shop


@pytest.fixture
def acme(operations: Operations) -> Operations:
    operations.add(NewTenant("acme", application=NOTES))
    return operations


def told(found: Domains) -> list[str]:
    """Spell the domains, the primary one starred."""
    return [f"{one.domain}{'*' * one.primary}" for one in found.domains]


def test_the_first_domain_is_the_primary_one_and_another_becomes_it_when_asked(acme: Operations) -> None:
    assert told(acme.domain_add("acme", "Shop.Example.com", trust=True)) == ["shop.example.com*"]
    assert told(acme.domain_add("acme", "buy.example.com", trust=True)) == ["buy.example.com", "shop.example.com*"]
    assert told(acme.domain_add("acme", "a.example.com", primary=True, trust=True)) == [
        "a.example.com*",
        "buy.example.com",
        "shop.example.com",
    ]
    moved = acme.domain_add("acme", "buy.example.com", primary=True, trust=True)
    assert told(moved) == ["a.example.com", "buy.example.com*", "shop.example.com"]
    assert acme.domain_list("acme") == moved.domains
    assert moved.tenant.domain == "buy.example.com"
    assert [one.url for one in moved.domains if one.primary] == ["http://buy.example.com:8000/"]
    assert verbs(acme) == ["add", *["domain add"] * 4]


def test_a_domain_that_it_has_already_changes_nothing(acme: Operations) -> None:
    acme.domain_add("acme", "shop.example.com", trust=True)
    for primary in (False, True):
        again = acme.domain_add("acme", "SHOP.example.com.", primary=primary, trust=True)
        assert (again.changed, told(again)) == (False, ["shop.example.com*"])
    assert verbs(acme) == ["add", "domain add"]


def test_without_the_primary_domain_the_first_that_is_left_is_it_and_without_any_there_is_none(
    acme: Operations,
) -> None:
    for domain in ("b.example.com", "a.example.com", "c.example.com"):
        acme.domain_add("acme", domain, trust=True)
    assert told(acme.domain_remove("acme", "b.example.com")) == ["a.example.com*", "c.example.com"]
    assert told(acme.domain_remove("acme", "C.example.com")) == ["a.example.com*"]
    last = acme.domain_remove("acme", "a.example.com")
    assert (last.domains, last.tenant.domain) == ((), "")
    line = acme.journal("acme")[0]
    assert (line.verb, line.before["domain"], line.after.get("domain")) == ("domain remove", "a.example.com", None)


def test_a_domain_that_it_has_not_is_unknown_and_the_hint_lists_those_it_has(acme: Operations) -> None:
    with pytest.raises(Unknown, match="It has none"):
        acme.domain_remove("acme", "shop.example.com")
    acme.domain_add("acme", "shop.example.com", trust=True)
    with pytest.raises(Unknown, match=r"It has shop\.example\.com"):
        acme.domain_remove("acme", "chop.example.com")
    assert verbs(acme) == ["add", "domain add"]


@pytest.mark.parametrize(
    "domain", ["localhost", "acme.localhost", "a.b.localhost", "no dots", "127.0.0.1", "shop..com"]
)
def test_a_domain_below_the_platforms_own_or_that_is_none_is_invalid(acme: Operations, domain: str) -> None:
    with pytest.raises(Invalid):
        acme.domain_add("acme", domain, trust=True)
    assert acme.domain_list("acme") == ()


def test_a_domain_of_another_tenant_is_refused(acme: Operations) -> None:
    acme.add(NewTenant("globex", application=NOTES, domains=["shop.example.com"], trust=True))
    with pytest.raises(Refused, match="taken by 'globex'"):
        acme.domain_add("acme", "shop.example.com", trust=True)
    assert acme.domain_list("globex")[0].primary


def test_the_primary_domain_comes_back_with_its_tenant(acme: Operations) -> None:
    acme.domain_add("acme", "b.example.com", trust=True)
    acme.domain_add("acme", "a.example.com", trust=True)
    before = acme.domain_list("acme")
    acme.remove("acme")
    acme.undo_remove("acme")
    assert acme.domain_list("acme") == before


def test_of_two_who_saw_the_same_domains_one_wins_and_the_other_is_told_so(acme: Operations, root: Path) -> None:
    with open_desk(root, read(root).settings) as desk:
        seen = acme.get("acme")
        domains.add(desk, seen, "a.example.com", False, True)
        with pytest.raises(Refused, match="at the same time"):
            domains.add(desk, seen, "b.example.com", False)
        with pytest.raises(Refused, match="at the same time"):
            domains.add(desk, seen, "b.example.com", False, True)
    assert [one.domain for one in acme.domain_list("acme")] == ["a.example.com"]
