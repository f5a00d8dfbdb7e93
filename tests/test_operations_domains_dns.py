"""What `domain check` says of a domain in plain words: whose it is, where it leads, who may issue certificates."""

from collections.abc import Callable, Iterator

import pytest

from tenantry.assembly.desk import open_operations
from tenantry.operations import About, Claimed, Finding, NewTenant, Operations
from tenantry.resolver import Resolver
from tests import dns as shared
from tests.dns import SERVFAIL, SILENCE, Known, Nameserver, believing
from tests.shops import NOTES

BASE, SHOP = "platform.test", "shop.example.com"
HERE: dict[str, Known] = {
    BASE: {"A": ("192.0.2.1",), "AAAA": ("2001:db8::1",)},
    f"*.{BASE}": {"A": ("192.0.2.2",)},
}
ONE = {"A": ("192.0.2.1",)}


world = shared.world


@pytest.fixture
def dns(world: Nameserver) -> Nameserver:
    """A world in which the platform has its addresses, and the domain is nowhere."""
    world.names.clear()
    world.names.update(HERE)
    world.asked.clear()
    return world


@pytest.fixture(scope="module")
def desk(world: Nameserver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operations]:
    """The desk of a platform that has a domain of its own, with one tenant."""
    known: dict[str, object] = {"application": NOTES, "domain": BASE, "resolver": (world.server,)}
    with open_operations(tmp_path_factory.mktemp("platform"), known) as operations:
        operations.add(NewTenant("acme"))
        yield believing(operations, Resolver([world.server]))


@pytest.fixture
def acme(desk: Operations, dns: Nameserver) -> Iterator[Operations]:
    """A tenant that claims a domain."""
    desk.domain_add("acme", SHOP)
    yield desk
    desk.domain_remove("acme", SHOP)


def claim(acme: Operations) -> Claimed:
    return acme.domain_claims("acme")[0]


def found(acme: Operations, about: About) -> list[Finding]:
    (one,) = acme.domain_check("acme", SHOP).domains
    return [finding for finding in one.findings if finding.about is about]


def first(acme: Operations, about: About) -> Finding:
    return found(acme, about)[0]


# Whose it is.

Ownership = Callable[[Claimed], Known]
WRONG: dict[str, tuple[Ownership, str, str]] = {
    "another token": (
        lambda _: {"TXT": ('"tenantry=00"', '"v=spf1 -all"')},
        "says 'tenantry=00', 'v=spf1 -all', which is not the token",
        'It should say "tenantry=',
    ),
    "capitals": (lambda it: {"TXT": (f'"{it.value.upper()}"',)}, "which is not the token", "It should say"),
    "a piece": (lambda it: {"TXT": (f'"{it.value[:-1]}"',)}, "which is not the token", "It should say"),
    "more": (lambda it: {"TXT": (f'"{it.value}0"',)}, "which is not the token", "It should say"),
    "control characters": (lambda _: {"TXT": ('"\\027[2J\\010"',)}, r"says '\x1b[2J\n', which", "It should say"),
    "an alias": (
        lambda _: {"CNAME": ("elsewhere.test.",)},
        "is an alias of elsewhere.test, and what stands there proves nothing",
        "Set the TXT record at",
    ),
    "no text": (lambda _: {"A": ("192.0.2.9",)}, "There is no TXT record at", "may take 60 s to be seen"),
    "a failure": (lambda _: SERVFAIL, "The DNS fails for _tenantry.shop.example.com: SERVFAIL from", "DNSSEC"),
}


@pytest.mark.parametrize(("known", "says", "hint"), WRONG.values(), ids=WRONG)
def test_what_proves_nothing_is_said_in_words(
    acme: Operations, dns: Nameserver, known: Ownership, says: str, hint: str
) -> None:
    mine = claim(acme)
    dns.names[mine.record] = known(mine)
    dns.names["elsewhere.test"] = {"TXT": (f'"{mine.value}"',)}
    finding = first(acme, About.OWNERSHIP)
    assert (finding.good, says in finding.says, hint in finding.hint) == (False, True, True), finding
    assert finding.says.isprintable()


def test_a_record_that_is_missing_is_given_to_copy(acme: Operations) -> None:
    mine = claim(acme)
    finding = first(acme, About.OWNERSHIP)
    assert finding.says == f"There is no TXT record at _tenantry.{SHOP}."
    assert f'_tenantry.{SHOP} TXT "{mine.value}"' in finding.hint


@pytest.mark.parametrize("where", [SHOP, f"_tenantry.{SHOP}.example.com", f"_tenantry.{SHOP}.{SHOP}"])
def test_a_token_in_the_wrong_place_is_found(acme: Operations, dns: Nameserver, where: str) -> None:
    """At the domain itself, or where a form has added the zone's name once more."""
    dns.names[where] = {"TXT": (f'"{claim(acme).value}"',)}
    assert first(acme, About.OWNERSHIP).says.endswith(f"The token stands at {where} instead.")


@pytest.mark.parametrize("spelled", ['"{}"', '"other" "{}"', '"\\"{}\\""', '" {} "'])
def test_the_token_is_found_among_others_and_in_copied_quotation_marks(
    acme: Operations, dns: Nameserver, spelled: str
) -> None:
    value = claim(acme).value
    texts = (spelled.format(value),) if "other" not in spelled else ('"other"', f'"{value}"')
    dns.names[claim(acme).record] = {"TXT": texts}
    assert first(acme, About.OWNERSHIP).good


def test_a_token_in_two_pieces_is_one(acme: Operations, dns: Nameserver) -> None:
    value = claim(acme).value
    dns.names[claim(acme).record] = {"TXT": (f'"{value[:9]}" "{value[9:]}"',)}
    assert first(acme, About.OWNERSHIP).good


def test_where_nobody_answers_nobody_is_asked_twice(acme: Operations, dns: Nameserver) -> None:
    dns.names[claim(acme).record] = SILENCE
    (one,) = believing(acme, Resolver([dns.server], 0.3)).domain_check("acme", SHOP).domains
    assert all("Nobody answered for" in finding.says for finding in one.findings)
    assert "TENANTRY_RESOLVER" in one.findings[0].hint
    assert {name for name, _ in dns.asked} == {f"_tenantry.{SHOP}"}


# Where it leads.

WAYS: dict[str, tuple[dict[str, Known], bool | None, str]] = {
    "nowhere": ({}, False, f"{SHOP} does not exist in the DNS."),
    "no address": ({SHOP: {"MX": ("10 mail.test.",)}}, False, f"{SHOP} has neither an A nor an AAAA record."),
    "a failure": ({SHOP: SERVFAIL}, False, f"The DNS fails for {SHOP}: SERVFAIL from"),
    "here": ({SHOP: ONE}, True, f"{SHOP} leads to 192.0.2.1, which is here."),
    "here by both": (
        {SHOP: HERE[BASE]},
        True,
        f"{SHOP} leads to 192.0.2.1 and 2001:db8::1, which is here.",
    ),
    "here by an alias": (
        {SHOP: {"CNAME": (f"acme.{BASE}.",)}},
        True,
        f"{SHOP} leads to 192.0.2.2, as an alias of acme.{BASE}, which is here.",
    ),
    "elsewhere": (
        {SHOP: {"A": ("203.0.113.9",)}},
        False,
        f"{SHOP} leads to 203.0.113.9, and {BASE} is at 192.0.2.1 and 192.0.2.2 and 2001:db8::1.",
    ),
    "elsewhere as well": (
        {SHOP: {"A": ("192.0.2.1", "203.0.113.9")}},
        False,
        f"{SHOP} leads here, and to 203.0.113.9 as well, which is not here.",
    ),
    "an old AAAA": (
        {SHOP: {"A": ("192.0.2.1",), "AAAA": ("2001:db8::dead",)}},
        False,
        f"{SHOP} leads here, and to 2001:db8::dead as well, which is not here.",
    ),
    "a dangling alias": (
        {SHOP: {"CNAME": ("gone.test.",)}},
        False,
        f"{SHOP} is an alias of gone.test, which does not exist.",
    ),
    "an alias of nothing": (
        {SHOP: {"CNAME": ("mail.test.",)}, "mail.test": {"MX": ("10 mail.test.",)}},
        False,
        f"{SHOP} is an alias of mail.test, which has no address.",
    ),
    "nobody knows where here is": (
        {SHOP: ONE, BASE: {}, f"*.{BASE}": {}},
        None,
        f"{SHOP} leads to 192.0.2.1; the DNS does not say where {BASE} is",
    ),
}


@pytest.mark.parametrize(("names", "good", "says"), WAYS.values(), ids=WAYS)
def test_where_a_domain_leads_is_said_in_words(
    acme: Operations, dns: Nameserver, names: dict[str, Known], good: bool | None, says: str
) -> None:
    dns.names.update(names)
    finding = first(acme, About.WAY)
    assert (finding.good, finding.says[: len(says)]) == (good, says)
    assert bool(finding.hint) == (good is False)


def test_a_domain_that_only_a_wildcard_answers_for_is_told(acme: Operations, dns: Nameserver) -> None:
    dns.names["*.example.com"] = ONE
    leads, wildcard = found(acme, About.WAY)
    assert (leads.good, wildcard.good) == (True, None)
    assert "the wildcard *.example.com leads there" in wildcard.says
    dns.names[SHOP] = ONE
    dns.names["*.example.com"] = {"A": ("203.0.113.1",)}
    assert len(found(acme, About.WAY)) == 1


# Who may issue certificates.

ISSUERS: dict[str, tuple[dict[str, Known], bool, str]] = {
    "anybody": ({}, True, "No CAA record restricts"),
    "Let's Encrypt": (
        {SHOP: {**ONE, "CAA": ('0 issue "letsencrypt.org; validationmethods=http-01"',)}},
        True,
        f"The CAA records of {SHOP} let Let's Encrypt",
    ),
    "others as well": (
        {SHOP: {**ONE, "CAA": ('0 issue "ca.test"', '0 Issue "LetsEncrypt.org"')}},
        True,
        f"The CAA records of {SHOP} let Let's Encrypt",
    ),
    "another": (
        {"example.com": {"CAA": ('0 issue "ca.test"',)}},
        False,
        "The CAA record of example.com lets 'ca.test' issue certificates and nobody else.",
    ),
    "nobody": ({SHOP: {**ONE, "CAA": ('0 issue ";"',)}}, False, f"The CAA record of {SHOP} lets nobody issue"),
    "the nearest decides": (
        {SHOP: {**ONE, "CAA": ('0 issue "letsencrypt.org"',)}, "example.com": {"CAA": ('0 issue ";"',)}},
        True,
        f"The CAA records of {SHOP} let Let's Encrypt",
    ),
    "mail alone": ({"example.com": {"CAA": ('0 iodef "mailto:a@b.test"',)}}, True, "The CAA records of example.com"),
    "wildcards alone": ({"example.com": {"CAA": ('0 issuewild ";"',)}}, True, "The CAA records of example.com"),
    "a critical word": (
        {"example.com": {"CAA": ('128 future "x"', '0 issue "letsencrypt.org"')}},
        False,
        "The CAA record of example.com has the critical word 'future'",
    ),
    "a failure": ({"example.com": SERVFAIL}, False, "The DNS fails for example.com: SERVFAIL"),
}


@pytest.mark.parametrize(("names", "good", "says"), ISSUERS.values(), ids=ISSUERS)
def test_who_may_issue_certificates_is_said_in_words(
    acme: Operations, dns: Nameserver, names: dict[str, Known], good: bool, says: str
) -> None:
    dns.names.update({SHOP: ONE, **names})
    finding = first(acme, About.CERTIFICATES)
    assert (finding.good, finding.says[: len(says)]) == (good, says)
