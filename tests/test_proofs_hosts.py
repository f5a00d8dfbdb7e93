"""Two hosts lead to one tenant only if DNS says that they are one; a rule that says otherwise is found out."""

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path

import pytest

from tenantry import address
from tenantry.address import Kind
from tenantry.errors import Invalid
from tests.proofs import hosts

HOSTS, FULL_HOSTS = 10_000, 1_000_000


def hold(folder: Path, number: int) -> None:
    heard = hosts.run(folder, number)
    assert heard.hosts >= number, str(heard)
    assert all((heard.accepted, heard.asked, heard.same, heard.domains_accepted)), str(heard)


def test_hosts_lead_where_dns_says_and_nothing_but_invalid_is_raised(tmp_path: Path) -> None:
    hold(tmp_path, HOSTS)


@pytest.mark.full
def test_a_million_hosts_lead_where_dns_says(tmp_path: Path) -> None:
    hold(tmp_path, FULL_HOSTS)


def asked(canonical: Callable[[str], str], label: Callable[[str], str | None]) -> hosts.Asked:
    """Make what reads a Host as the gateway does, with these rules in place of its own."""

    def ask(headers: Mapping[str, str], _: str) -> Hashable:
        try:
            name = canonical(headers["HOST"])
        except Invalid:
            return ""
        found = label(name)
        return "" if found == "" else (Kind.DOMAIN, name) if found is None else (Kind.SUBDOMAIN, found)

    return ask


def below(name: str) -> str | None:
    return address.label(name, hosts.DOMAIN)


def ends_with(name: str) -> str | None:
    """Make the mistake of looking at the end of a text instead of at labels."""
    return name.removesuffix(hosts.DOMAIN).rstrip(".") if name.endswith(hosts.DOMAIN) else None


FLAWS: Mapping[str, Callable[[str], str]] = {
    "takes anything": str.lower,
    "keeps case": lambda raw: raw.partition(":")[0].removesuffix(".") if address.host(raw) else "",
    "keeps the dot": lambda raw: address.host(raw) + "." * raw.endswith("."),
    "drops all dots": lambda raw: address.host(raw.rstrip(".")),
    "takes any port": lambda raw: address.host(raw if raw.startswith("[") else raw.partition(":")[0]),
    "folds what looks alike": lambda raw: address.host(raw.replace("\u212a", "k")),
    "takes spaces away": lambda raw: address.host(raw.strip()),
    "raises something else": lambda raw: raw.encode("ascii").decode(),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_canonical_form_that_is_wrong_is_found_out(flaw: str) -> None:
    with pytest.raises((AssertionError, UnicodeError)):
        hosts.tried(5000, FLAWS[flaw], address.domain, asked(FLAWS[flaw], below), shrink=False)


def test_a_border_between_labels_that_is_missed_is_found_out() -> None:
    with pytest.raises(AssertionError, match="leads to"):
        hosts.tried(5000, address.host, address.domain, asked(address.host, ends_with), shrink=False)


def test_a_custom_domain_that_is_taken_for_another_is_found_out() -> None:
    """As by the standard library's codec, to which a sharp s is a double one."""
    with pytest.raises(AssertionError, match=r"is taken for 'strasse\.example'"):
        hosts.see_domain("stra\u00dfe.example", hosts.Heard(), lambda text: text.encode("idna").decode())
