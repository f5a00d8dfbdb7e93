"""Spelling: what a name, a host and a domain may look like, and their one canonical form."""

import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry import address
from tenantry.address import RESERVED, Address, Kind
from tenantry.errors import Invalid

CHARACTERS = st.text(st.sampled_from("aezAZ09-_.:[]%@/ \t\n\x00é。ß"), max_size=20)
LABEL = st.from_regex(re.compile(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", re.ASCII), fullmatch=True)
NAMES_OF_HOSTS = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
HOSTS = st.one_of(NAMES_OF_HOSTS, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map("[{}]".format))
NAMES = st.from_regex(re.compile("[a-z0-9]{1,13}(-[a-z0-9]{1,13}){0,2}"), fullmatch=True).filter(address.is_name)
SPELLINGS = st.tuples(st.booleans(), st.sampled_from(["", "."]), st.sampled_from(["", ":1", ":80", ":65535"]))


def spelled(host: str, how: tuple[bool, str, str]) -> str:
    """Spell a host in another way that means the same."""
    capitals, dot, port = how
    return f"{host.upper() if capitals else host}{'' if host.startswith('[') else dot}{port}"


# Hosts


@given(HOSTS, SPELLINGS)
def test_every_spelling_of_a_host_has_one_canonical_form(host: str, how: tuple[bool, str, str]) -> None:
    canonical = address.host(host)
    assert address.host(spelled(host, how)) == canonical


@given(st.one_of(CHARACTERS, HOSTS))
def test_the_canonical_form_is_its_own(raw: str) -> None:
    try:
        canonical = address.host(raw)
    except Invalid:
        return
    assert address.host(canonical) == canonical
    assert canonical == canonical.lower()


@given(HOSTS, HOSTS, SPELLINGS, SPELLINGS)
def test_two_hosts_are_one_only_if_dns_says_they_are(
    one: str, other: str, how: tuple[bool, str, str], or_so: tuple[bool, str, str]
) -> None:
    same = address.host(spelled(one, how)) == address.host(spelled(other, or_so))
    assert same == (one.lower() == other.lower())


@given(st.lists(LABEL, max_size=3), st.sampled_from(["example.com", "localhost", "a.b.c"]))
def test_a_host_has_a_label_below_a_domain_only_if_it_has_exactly_one(labels: list[str], domain: str) -> None:
    found = address.label(".".join([*labels, domain]), domain)
    assert found == (None if len(labels) > 1 else "".join(labels))


@given(NAMES_OF_HOSTS, st.sampled_from(["example.com", "localhost", "1"]))
def test_a_label_and_its_domain_are_the_whole_host(name: str, domain: str) -> None:
    found = address.label(name, domain)
    if found is not None:
        assert name == (f"{found}.{domain}" if found else domain)
        assert "." not in found


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("example.com.:8000", "example.com"),
        ("localhost:65535", "localhost"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:8000", "[::1]"),
        ("[0:0::0:1]", "[::1]"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_a_host_is_lower_case_without_port_and_trailing_dot(raw: str, canonical: str) -> None:
    assert address.host(raw) == canonical


@pytest.mark.parametrize(
    "raw",
    [
        *("", ".", "..", "a..b", ".a", "-a", "a-", "a_b", "a b", "a,b", "a/b", "a@b", "a%41", "é.com", "a\n", "a\x00"),
        *(":80", "a:", "a:0", "a:080", "a:65536", "a:123456", "a:8x", "a:80:80", "a:-1", "a:+1", "a:１", "a.:x"),
        *("::1", "[::1", "::1]", "[::1]x", "[::1]:", "[::1]:0", "[]", "[1.2.3.4]", "[::%25eth0]", "[::1].", "[:::]"),
        *("a" * 64, "a." * 127 + "a", "[" + "1" * 5000 + "]"),
    ],
    ids=lambda raw: ascii(raw)[:20],
)
def test_what_is_no_host_is_invalid_and_said_so_in_ascii(raw: str) -> None:
    with pytest.raises(Invalid, match="is not a host") as refused:
        address.host(raw)
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 250


def test_a_host_may_be_as_long_as_dns_allows() -> None:
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    assert len(longest) == 253
    assert address.host(f"{longest}.:80") == longest
    with pytest.raises(Invalid):
        address.host(f"{longest}b")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "10.1", "1", "acme.127.0.0.1"])
def test_numbers_and_localhost_are_how_a_machine_calls_itself(name: str) -> None:
    assert address.is_local(name)


@pytest.mark.parametrize("name", ["example.com", "acme.localhost", "1.example", "a1"])
def test_a_name_in_dns_is_not_local(name: str) -> None:
    assert not address.is_local(name)


# Names


@given(st.text(st.sampled_from("abz019-AZ_. é"), max_size=45))
def test_a_name_is_what_the_grammar_says(text: str) -> None:
    expected = (
        0 < len(text) <= 40
        and set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        and "--" not in text
        and not text.startswith("-")
        and not text.endswith("-")
        and any(letter.isalpha() for letter in text)
    )
    assert address.is_name(text) == expected


@given(NAMES, st.sampled_from("*?["), st.integers(0, 40))
def test_what_stands_for_several_names_is_none(name: str, sign: str, at: int) -> None:
    assert not address.is_glob(name)
    assert address.is_glob(name[:at] + sign + name[at:])
    assert not address.is_name(name[:at] + sign + name[at:])


@given(NAMES)
def test_every_name_is_a_label_that_leads_back_to_it(text: str) -> None:
    assert address.label(address.host(f"{text}.example.com"), "example.com") == text


@pytest.mark.parametrize("text", ["", "a--b", "-a", "a-", "A", "42", "1-2", "a.b", "a_b", "é", "a\n", "a" * 41, "а"])
def test_what_is_no_name_is_invalid_for_a_new_tenant(text: str) -> None:
    with pytest.raises(Invalid, match="is no name for a tenant"):
        address.new_name(text)


@pytest.mark.parametrize(
    ("text", "near"), [("Acme Inc.", "acme-inc"), ("a__b", "a-b"), ("-acme-", "acme"), ("x" * 50, "x" * 40)]
)
def test_a_near_miss_is_told_a_name_that_would_do(text: str, near: str) -> None:
    with pytest.raises(Invalid) as refused:
        address.new_name(text)
    assert refused.value.hint == f"Try {near!r}."


def test_a_near_miss_is_not_told_a_name_that_would_not_do() -> None:
    for text in ("WWW", "42!", "..."):
        with pytest.raises(Invalid) as refused:
            address.new_name(text)
        assert refused.value.hint == ""


@given(st.text(max_size=60))
def test_a_suggested_name_is_one_that_would_be_taken(text: str) -> None:
    try:
        assert address.new_name(text) == text
    except Invalid as refused:
        found = re.search("'(.+)'", refused.hint)
        if found:
            assert address.new_name(found[1]) == found[1]


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_a_reserved_word_is_spelled_as_a_name_and_refused_with_its_reason(word: str) -> None:
    assert address.is_name(word)
    with pytest.raises(Invalid, match=re.escape(RESERVED[word])):
        address.new_name(word)
    assert address.new_name(word, override=True) == word


@pytest.mark.parametrize(("name", "word"), [("adm1n", "admin"), ("rnail", "mail"), ("wvvw", "www"), ("ap1", "api")])
def test_what_looks_like_a_reserved_word_is_refused_with_it(name: str, word: str) -> None:
    with pytest.raises(Invalid, match=f"'{name}' looks like '{word}', which is reserved"):
        address.new_name(name)
    assert address.new_name(name, override=True) == name


@given(NAMES)
def test_the_look_of_a_look_is_itself_and_an_override_never_lets_a_wrong_spelling_pass(name: str) -> None:
    assert address.skeleton(address.skeleton(name)) == address.skeleton(name)
    assert address.new_name(name, override=True) == name
    for wrong in (name.upper() + "A", f"-{name}", f"{name}_", f"{name}--a"):
        with pytest.raises(Invalid):
            address.new_name(wrong, override=True)


def test_a_changed_list_of_reserved_words_has_a_new_version_and_a_line_in_the_changelog() -> None:
    """What is counted here goes with the version; both change together."""
    words = hashlib.sha256("\n".join(sorted(RESERVED)).encode()).hexdigest()[:12]
    assert (address.RESERVED_VERSION, words) == (1, "ad7c776a6bb1")
    changelog = (Path(__file__).parent.parent / "CHANGELOG.md").read_text("utf-8")
    assert f"Reserved names, version {address.RESERVED_VERSION}" in changelog


def test_no_two_reserved_words_look_alike() -> None:
    assert len({address.skeleton(word) for word in RESERVED}) == len(RESERVED)


# Domains


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Shop.Example.COM", "shop.example.com"),
        (" shop.example.com. ", "shop.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("shop。example。com", "shop.example.com"),
    ],
)
def test_a_custom_domain_is_kept_in_the_form_in_which_hosts_arrive(text: str, canonical: str) -> None:
    assert address.domain(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "localhost", "example", "127.0.0.1", "[::1]", "a.b:80", "a_b.com", "-a.com", "xn--.com", "a..com"),
        "a.com..",
        *("https://a.com", "a.com/x", "\u2160.com", "a\u200db.com", "*.a.com", "a.com\x00", "a" * 64 + ".com"),
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_what_is_no_public_domain_is_invalid(text: str) -> None:
    with pytest.raises(Invalid, match="is not a") as refused:
        address.domain(text)
    assert str(refused.value).isprintable()


@given(st.one_of(CHARACTERS, st.text(max_size=12), LABEL.map("xn--{}.com".format)))
def test_a_custom_domain_is_canonical_as_a_domain_and_as_a_host(text: str) -> None:
    try:
        canonical = address.domain(text)
    except Invalid:
        return
    assert address.domain(canonical) == address.host(canonical) == canonical
    readable = address.readable(canonical)
    assert address.domain(readable) == canonical, "what is shown leads to what is stored"
    dotted = re.sub("[\u3002\uff0e\uff61]", ".", text.strip().lower()).removesuffix(".")
    assert readable == dotted or dotted.isascii(), "and it is what was typed"


@pytest.mark.parametrize(
    "text",
    ["\uff42\uff4f\uff4f\uff4b.example", "bu\u0308cher.example", "caf\u00e9\u2024example.org"],
    ids=ascii,
)
def test_a_domain_that_would_be_stored_as_another_is_invalid(text: str) -> None:
    """Full width, what is not composed, other dots: look-alikes of what IDNA 2008 would make of them."""
    with pytest.raises(Invalid) as caught:
        address.domain(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("xn--bcher-kva.example", "b\u00fccher.example"),
        ("xn--strae-oqa.example", "stra\u00dfe.example"),
        ("shop.example", "shop.example"),
        ("xn--a.example", "xn--a.example"),
        ("xn--ls8h.example", "xn--ls8h.example"),
    ],
)
def test_a_domain_is_read_in_its_own_letters_if_they_lead_back_to_it(stored: str, read: str) -> None:
    assert address.readable(stored) == read


@pytest.mark.parametrize(
    ("name", "below"),
    [("example.com", True), ("a.b.example.com", True), ("evilexample.com", False), ("com", False)],
)
def test_below_a_domain_is_decided_at_its_labels(name: str, below: bool) -> None:
    assert address.is_below(name, "example.com") is below


# Addresses


def test_an_address_is_keyed_by_kind_and_value() -> None:
    keys = {Address(kind, "acme").key for kind in Kind}
    assert keys == {"subdomain:acme", "path:acme", "domain:acme"}


def test_only_an_address_by_path_has_a_mount() -> None:
    mounts = {kind: Address(kind, "acme").mount for kind in Kind}
    assert mounts == {Kind.SUBDOMAIN: "", Kind.PATH: "/t/acme", Kind.DOMAIN: ""}


@given(st.text())
def test_what_a_stranger_sent_is_shown_short_and_in_printable_ascii(text: str) -> None:
    shown = address.shown(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(address.shown(text * 100)) < 1000
