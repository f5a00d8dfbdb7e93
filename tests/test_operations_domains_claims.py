"""Claims to domains: no address until the DNS proves them, and then at once, for whoever proves first."""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tenantry.address import Address, Kind
from tenantry.assembly.desk import open_operations
from tenantry.errors import Invalid, Refused, Unavailable, Unknown
from tenantry.operations import Checked, Claimed, Clone, NewTenant, Operations
from tenantry.resolver import Answer, Resolver
from tests import dns as shared
from tests.dns import Nameserver, believing
from tests.shops import NOTES, everything, opened, registry, verbs

SHOP = "shop.example.com"


world = shared.world


@pytest.fixture
def dns(world: Nameserver) -> Nameserver:
    """Nothing is in the DNS yet."""
    world.names.clear()
    world.asked.clear()
    return world


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with two tenants, of which each test has a copy."""
    folder = tmp_path_factory.mktemp("town")
    with open_operations(folder, {"application": NOTES}) as operations:
        for name in ("acme", "globex"):
            operations.add(NewTenant(name))
    return folder


@pytest.fixture
def root(town: Path, tmp_path: Path) -> Path:
    shutil.copytree(town, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def acme(root: Path, dns: Nameserver) -> Iterator[Operations]:
    """A desk that asks that nameserver."""
    with open_operations(root, {"application": NOTES}) as operations:
        yield believing(operations, Resolver([dns.server]))


def claimed(operations: Operations, name: str = "acme", domain: str = SHOP, primary: bool = False) -> Claimed:
    (claim,) = (one for one in operations.domain_add(name, domain, primary).claims if one.domain == domain)
    return claim


def prove(dns: Nameserver, *claims: Claimed) -> None:
    dns.names[claims[0].record] = {"TXT": tuple(f'"{claim.value}"' for claim in claims)}


def checked(operations: Operations, name: str = "acme", domain: str = SHOP) -> Checked:
    (one,) = operations.domain_check(name, domain).domains
    return one


def at(root: Path, domain: str) -> str:
    """Tell who is found at a domain."""
    with registry(root) as book:
        try:
            return book.find(Address(Kind.DOMAIN, domain)).name
        except Unknown:
            return ""


def claims(root: Path, uid: str) -> list[str]:
    with registry(root) as book:
        return [claim.domain for claim in book.claims(uid)]


def test_a_claim_is_no_address_and_says_what_proves_it(acme: Operations, root: Path) -> None:
    done = acme.domain_add("acme", "Shop.Example.com.")
    assert (done.changed, done.domains, done.tenant.domain) == (True, (), "")
    (claim,) = done.claims
    assert (claim.domain, claim.record, claim.target) == (SHOP, f"_tenantry.{SHOP}", "acme.localhost")
    assert re.fullmatch(r"tenantry=[0-9a-f]{32}", claim.value)
    assert (at(root, SHOP), acme.domain_list("acme"), acme.domain_claims("acme")) == ("", (), (claim,))
    line = acme.journal("acme")[0]
    assert (line.verb, line.detail["claim"], line.after) == ("domain add", True, {"claims": [SHOP]})
    assert claim.value.removeprefix("tenantry=") not in str(line)


def test_who_claims_a_domain_once_more_has_the_same_token(acme: Operations) -> None:
    first = acme.domain_add("acme", SHOP)
    again = acme.domain_add("acme", SHOP)
    assert (again.changed, again.claims) == (False, first.claims)
    primary = acme.domain_add("acme", SHOP, primary=True)
    assert (primary.changed, primary.claims[0].primary) == (True, True)
    assert primary.claims[0].value == first.claims[0].value
    assert verbs(acme, "acme") == ["add", "domain add", "domain add"]


def test_what_the_dns_proves_becomes_an_address_in_one_line_of_the_journal(
    acme: Operations, dns: Nameserver, root: Path
) -> None:
    claim = claimed(acme)
    before = checked(acme)
    assert (before.verified, before.changed, at(root, SHOP)) == (False, False, "")
    prove(dns, claim)
    done = acme.domain_check("acme")
    assert (done.changed, done.domains[0].verified, done.domains[0].changed) == (True, True, True)
    assert (at(root, SHOP), done.tenant.domain, acme.domain_claims("acme")) == ("acme", SHOP, ())
    line = acme.journal("acme")[0]
    assert (line.verb, line.detail) == ("domain check", {"domain": SHOP, "primary": False})
    assert (line.before["claims"], line.after["domain"]) == ([SHOP], SHOP)
    assert f"domain:{SHOP}" in str(line.after["addresses"])
    again = checked(acme)
    assert (again.verified, again.changed, verbs(acme, "acme")[-1]) == (True, False, "domain check")
    assert verbs(acme, "acme").count("domain check") == 1


def test_a_domain_stays_once_it_is_proved_whatever_the_dns_says_later(
    acme: Operations, dns: Nameserver, root: Path
) -> None:
    prove(dns, claimed(acme))
    checked(acme)
    dns.names.clear()
    assert checked(acme).verified
    assert at(root, SHOP) == "acme"


def test_of_several_who_claim_a_domain_the_first_to_prove_it_has_it(
    acme: Operations, dns: Nameserver, root: Path
) -> None:
    mine, theirs = claimed(acme), claimed(acme, "globex")
    assert mine.value != theirs.value
    prove(dns, theirs)
    assert not checked(acme).verified
    prove(dns, mine, theirs)
    assert checked(acme, "globex").verified
    late = checked(acme)
    assert (late.verified, late.findings[0].good) == (False, False)
    assert "taken by 'globex'" in late.findings[0].says
    assert at(root, SHOP) == "globex"
    acme.domain_remove("globex", SHOP)
    assert checked(acme).verified, "its claim still stands, and nobody has the domain any more"
    assert at(root, SHOP) == "acme"


def test_a_domain_of_another_tenant_is_not_claimed(acme: Operations) -> None:
    acme.domain_add("globex", SHOP, trust=True)
    with pytest.raises(Refused, match="taken by 'globex'"):
        acme.domain_add("acme", SHOP)
    with pytest.raises(Refused, match="taken by 'globex'"):
        acme.add(NewTenant("fresh", domains=[SHOP]))


def test_the_token_of_another_claim_of_ones_own_proves_nothing(acme: Operations, dns: Nameserver) -> None:
    claimed(acme)
    other = claimed(acme, domain="other.example.com")
    dns.names[f"_tenantry.{SHOP}"] = {"TXT": (f'"{other.value}"',)}
    assert not checked(acme).verified


def test_a_new_claim_has_a_new_token(acme: Operations, dns: Nameserver) -> None:
    """What stands in the DNS since the last owner's time proves nothing."""
    claim = claimed(acme)
    prove(dns, claim)
    acme.domain_remove("acme", SHOP)
    assert claimed(acme).value != claim.value
    assert not checked(acme).verified


def test_trust_needs_no_proof_and_takes_the_claim_along(acme: Operations, dns: Nameserver, root: Path) -> None:
    claimed(acme)
    done = acme.domain_add("acme", SHOP, trust=True)
    assert ([one.domain for one in done.domains], done.claims) == ([SHOP], ())
    assert (at(root, SHOP), acme.domain_claims("acme")) == ("acme", ())
    assert acme.journal("acme")[0].detail["trust"] is True
    assert not dns.asked


def test_a_claim_to_the_primary_domain_takes_the_others_place_when_it_is_proved(
    acme: Operations, dns: Nameserver
) -> None:
    acme.domain_add("acme", "old.example.com", trust=True)
    claim = claimed(acme, primary=True)
    assert acme.get("acme").domain == "old.example.com"
    prove(dns, claim)
    assert acme.domain_check("acme").tenant.domain == SHOP


def test_one_check_proves_all_that_can_be_proved(acme: Operations, dns: Nameserver) -> None:
    for domain in ("a.example.com", "b.example.com", "c.example.com"):
        claim = claimed(acme, domain=domain)
        if domain != "b.example.com":
            prove(dns, claim)
    done = acme.domain_check("acme")
    assert [(one.domain, one.verified) for one in done.domains] == [
        ("a.example.com", True),
        ("b.example.com", False),
        ("c.example.com", True),
    ]
    assert done.tenant.domain == "a.example.com"


def test_a_domain_that_it_neither_has_nor_claims_is_unknown(acme: Operations) -> None:
    with pytest.raises(Unknown, match="It has none"):
        acme.domain_check("acme", SHOP)
    claimed(acme)
    with pytest.raises(Unknown, match=r"It has shop\.example\.com"):
        acme.domain_check("acme", "chop.example.com")
    assert acme.domain_check("globex").domains == ()


def test_a_domain_too_long_for_its_record_is_not_claimed_and_may_be_trusted(acme: Operations) -> None:
    long = ".".join(["a" * 61] * 4)
    with pytest.raises(Invalid, match="too long"):
        acme.domain_add("acme", long)
    assert acme.domain_add("acme", long, trust=True).changed


def test_a_new_tenant_claims_its_domains(acme: Operations, dns: Nameserver, root: Path) -> None:
    added = acme.add(NewTenant("fresh", domains=[SHOP, "Shop.Example.com", "b.example.com"]))
    assert added.urls == ("http://fresh.localhost:8000/",)
    assert [claim.domain for claim in added.claims] == [SHOP, "b.example.com"]
    assert (added.claims, added.tenant.domain) == (acme.domain_claims("fresh")[::-1], "")
    assert acme.journal("fresh")[0].after["claims"] == ["b.example.com", SHOP]
    prove(dns, added.claims[0])
    assert acme.domain_check("fresh", SHOP).tenant.domain == SHOP
    assert [claim.domain for claim in acme.show("fresh").claims] == ["b.example.com"]


def test_an_add_that_fails_leaves_no_claim(acme: Operations, root: Path) -> None:
    with pytest.raises(Invalid):
        acme.add(NewTenant("fresh", domains=[SHOP, "no domain"]))
    with pytest.raises(Refused):
        acme.add(NewTenant("globex", domains=[SHOP]))
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as raw:
        assert raw.execute("SELECT count(*) FROM claims").fetchone() == (0,)


def test_claims_stay_with_the_source_of_a_clone_and_follow_a_new_name(acme: Operations) -> None:
    claim = claimed(acme)
    acme.clone("acme", Clone("apex"))
    assert acme.domain_claims("apex") == ()
    acme.rename("acme", "zenith")
    assert acme.domain_claims("zenith") == (replace(claim, target="zenith.localhost"),)


def test_a_removed_tenants_claims_go_and_come_back_with_it(acme: Operations, dns: Nameserver, root: Path) -> None:
    claim = claimed(acme)
    prove(dns, claim)
    acme.remove("acme")
    with pytest.raises(Unknown):
        acme.domain_check("acme", SHOP)
    assert claimed(acme, "globex").value != claim.value, "who is removed keeps nobody from claiming"
    acme.undo_remove("acme")
    assert acme.domain_claims("acme") == (claim,)
    assert checked(acme).verified


def test_a_purged_tenant_leaves_no_claim(acme: Operations, root: Path) -> None:
    claim, uid = claimed(acme), acme.get("acme").uid
    acme.remove("acme")
    assert claims(root, uid) == [SHOP]
    acme.purge("acme")
    assert claims(root, uid) == []
    kept = b"".join(path.read_bytes() for path in (root / "instance").glob("registry.sqlite3*"))
    assert claim.value.removeprefix("tenantry=").encode() not in kept
    assert SHOP.encode() not in kept


def test_a_claim_is_removed_like_a_domain(acme: Operations) -> None:
    claimed(acme)
    done = acme.domain_remove("acme", SHOP)
    assert (done.domains, done.claims, acme.domain_claims("acme")) == ((), (), ())
    assert acme.journal("acme")[0].before["claims"] == [SHOP]


def test_a_dry_run_claims_and_proves_nothing_and_shows_no_token(acme: Operations, dns: Nameserver, root: Path) -> None:
    prove(dns, claimed(acme))
    before = everything(root)
    with open_operations(root, {"application": NOTES}, dry_run=True) as desk:
        rehearsal = believing(desk, Resolver([dns.server]))
        assert checked(rehearsal).changed
        (known, new) = sorted(rehearsal.domain_add("acme", "z.example.com").claims, key=lambda claim: claim.domain)
        assert (known.domain, bool(known.value), new.value) == (SHOP, True, "")
        assert rehearsal.add(NewTenant("fresh", domains=["y.example.com"])).claims[0].value == ""
        assert rehearsal.domain_add("acme", "z.example.com", trust=True).changed
    assert everything(root) == before


def test_whoever_changes_the_claim_while_the_dns_is_asked_is_not_overridden(acme: Operations, dns: Nameserver) -> None:
    """The answer proves a token that nobody claims any more."""
    prove(dns, claimed(acme))

    class Slow(Resolver):
        def ask(self, name: str, kind: str) -> Answer:
            found = super().ask(name, kind)
            if kind == "TXT" and acme.domain_claims("acme"):
                acme.domain_remove("acme", SHOP)
                acme.domain_add("acme", SHOP)
            return found

    one = checked(believing(acme, Slow([dns.server])))
    assert (one.verified, "changed by somebody else" in one.findings[0].says) == (False, True)


def test_a_check_that_another_one_was_faster_than_finds_it_proved(acme: Operations, dns: Nameserver) -> None:
    prove(dns, claimed(acme))

    class Slow(Resolver):
        def ask(self, name: str, kind: str) -> Answer:
            found = super().ask(name, kind)
            if kind == "TXT" and acme.domain_claims("acme"):
                assert checked(acme).changed
            return found

    one = checked(believing(acme, Slow([dns.server])))
    assert (one.findings[0].good, one.changed) == (True, False)


def test_another_change_of_the_tenant_meanwhile_hinders_no_proof(acme: Operations, dns: Nameserver) -> None:
    prove(dns, claimed(acme))

    class Slow(Resolver):
        def ask(self, name: str, kind: str) -> Answer:
            acme.restart("acme")
            return super().ask(name, kind)

    assert checked(believing(acme, Slow([dns.server]))).verified


def test_a_tenant_removed_meanwhile_gets_nothing(acme: Operations, dns: Nameserver, root: Path) -> None:
    prove(dns, claimed(acme))

    class Slow(Resolver):
        def ask(self, name: str, kind: str) -> Answer:
            if kind == "TXT":
                acme.remove("acme")
            return super().ask(name, kind)

    assert not checked(believing(acme, Slow([dns.server]))).verified
    assert at(root, SHOP) == ""


def test_a_damaged_claim_is_none_and_hurts_no_other(acme: Operations, dns: Nameserver, root: Path) -> None:
    prove(dns, claimed(acme))
    uid = acme.get("acme").uid
    with closing(sqlite3.connect(root / "instance" / "registry.sqlite3")) as raw:
        for domain, token in (("x;y.example.com", "0" * 32), ("ok.example.com", "short"), ("UP.example.com", "0" * 32)):
            raw.execute("INSERT INTO claims VALUES (?, ?, ?, 0, '', 1)", (uid, domain, token))
        raw.execute("INSERT INTO claims VALUES (?, ?, x'ff', 0, '', 1)", (uid, b"\xff.example.com"))
        raw.commit()
    assert [claim.domain for claim in acme.domain_claims("acme")] == [SHOP]
    assert checked(acme).verified
    acme.remove("acme")
    acme.purge("acme")
    with opened(root) as desk:
        assert desk.recover() == ()


def test_without_a_server_to_ask_it_is_said_so(acme: Operations) -> None:
    class Nobody(Resolver):
        def ask(self, name: str, kind: str) -> Answer:
            raise Unavailable("This machine knows no DNS server to ask.")

    claimed(acme)
    with pytest.raises(Unavailable, match="knows no DNS server"):
        believing(acme, Nobody()).domain_check("acme")
